"""Brings a released model to traffic, guarded."""
