"""Weaviate, a server: the store for several machines."""
