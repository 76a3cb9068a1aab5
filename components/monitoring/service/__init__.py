"""How well the endpoint answered: how fast, how much, and how often not."""
