"""The webhook: changes in over HTTP, and everything a program may ask about its lenses.

A Starlette service over the registry. It starts no run and reads no source for an ingest call: it
writes down what was asked, and answers once that is safe. Dagster, torch, Polars and the stores are
not imported when it starts, so that it is up in under a second.
"""
