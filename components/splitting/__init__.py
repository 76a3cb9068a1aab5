"""Training and test rows that prove to be apart."""
