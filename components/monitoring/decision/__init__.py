"""What follows from a window: rules over signals, now and before, kept in a history that only grows."""
