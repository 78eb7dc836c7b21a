"""A stand-in for a Weaviate server: real sockets, the client's gRPC stubs, the real one's rules.

It keeps objects in memory and answers what this project asks of a server, no more. Its rules were
read from the server's source, so a test that passes here shows that *our* side keeps them; what a
real server does with them only a run against one shows (`WEAVIATE_URL`, see docs/weaviate.md).
"""
