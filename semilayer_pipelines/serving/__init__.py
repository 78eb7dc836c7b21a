"""What the webhook and the embedder share: an address to serve at, and bodies within bounds.

It imports no more than Starlette, so that a service that uses it is up at once.
"""
