"""One window of an inference log, with the labels that have arrived by then."""
