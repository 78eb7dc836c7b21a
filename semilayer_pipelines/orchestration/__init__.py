"""Dagster over the engine: tags and config in, metadata and results out."""
