"""Pipelines composed from the catalogue, and the command line."""
