"""Two versions that shared the traffic, compared by what came of their answers."""
