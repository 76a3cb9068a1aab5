"""Releases a model, and tells which one is champion."""
