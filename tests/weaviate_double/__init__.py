"""A stand-in for a Weaviate server: real sockets, the client's gRPC stubs, the real one's rules.

It keeps objects in memory and answers what this project asks of a server, no more. Its rules were
seen on a real server. `tests/stores/weaviate/test_server*.py` states them as tests that run against
either of the two: against a real server with `WEAVIATE_URL`, see CONTRIBUTING.md.
"""
