"""Ports for servers that are started, or started again, a moment after their port was chosen.

Not from where the system takes the ports of outgoing connections: one of those may have it by then.
"""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

_FIRST, _LAST = 20_000, 32_000
_dice = random.SystemRandom()


def free_port() -> int:
    """Return a port of this machine that nobody listens on, and nobody else is given by chance."""
    while True:
        port = _dice.randrange(_FIRST, _LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
