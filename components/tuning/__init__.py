"""Searches better parameters."""
