"""Every component by its verb."""
