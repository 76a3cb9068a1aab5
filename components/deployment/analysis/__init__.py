"""How a candidate is compared with the stable version: by the step's own requests, or by those of callers."""
