"""Alembic's folder: how the registry's tables came to be, one version a file."""
