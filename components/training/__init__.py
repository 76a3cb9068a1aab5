"""Fits a model and writes it down."""
