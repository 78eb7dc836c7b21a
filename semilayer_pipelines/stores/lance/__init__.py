"""LanceDB, in this process: the store by default."""
