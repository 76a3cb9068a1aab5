"""Deployment: brings a blessed model to traffic, or leaves the stable one where it is."""
