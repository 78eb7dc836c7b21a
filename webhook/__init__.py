"""The webhook: changes in over HTTP, and everything a program may ask about its lenses.

A Starlette service over the registry. An ingest call starts no run and reads no source: the service
writes the request down, and responds once it is safe. Dagster, torch, Polars and the stores are not
imported when it starts, so that it is up in under a second.
"""
