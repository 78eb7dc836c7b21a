"""Ports for the servers that tests start."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

# Below those that the system gives to connections and to whoever asks for any: between the moment
# in which a port is chosen and that in which a server listens on it, one of these is often taken.
_PORTS = range(10_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """Return a port of this machine that nobody listens on, never the same one twice."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
