"""Logical replication of PostgreSQL: the plugin `pgoutput` behind a slot and a publication."""
