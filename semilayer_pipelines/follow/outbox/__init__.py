"""The outbox of a PostgreSQL source: a table that triggers write to."""
