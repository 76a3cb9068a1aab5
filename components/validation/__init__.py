"""Holds a Dataset to its contract."""
