"""Ingestion: raw files become one typed Dataset whose rows have ids and whose sources are known."""
