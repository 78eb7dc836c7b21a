"""Read-only ways to a source's rows."""

from semilayer_pipelines.bridges.opening import open_bridge

__all__ = ["open_bridge"]
