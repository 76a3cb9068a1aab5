"""Measures a model and decides about it."""
