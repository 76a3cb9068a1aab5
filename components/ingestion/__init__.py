"""Reads raw data into a Dataset."""
