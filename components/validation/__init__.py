"""Whether data is what it is supposed to be."""
