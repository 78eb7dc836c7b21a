"""semilayer-pipelines: keeps a vector index in step with SQL tables, as a Dagster project."""

__version__ = "0.2.0"
