"""The ways in which an endpoint's traffic moves from one version to the next, one a module."""
