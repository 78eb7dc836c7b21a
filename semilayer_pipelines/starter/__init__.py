"""The first `sl.config.yaml`, written from the tables of a database."""
