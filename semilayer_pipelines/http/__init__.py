"""What the HTTP services and clients of the project share.

`contract`, `address` and `retry_after` need the standard library alone, and everybody may import
them; the rest is for the two services and needs Starlette.
"""
