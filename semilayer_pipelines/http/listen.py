"""The address a service listens on: taken before anything else is done, and told as a URL."""

from __future__ import annotations

import errno
import socket

from semilayer_pipelines.errors import ConfigError

__all__ = ["listen", "local_url", "url_of"]

_BACKLOG = 2048


def listen(host: str, port: int, command: str) -> socket.socket:
    """Take the address for a command of ours; port 0 takes any free one.

    Raises `ConfigError` when that cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} is taken.",
                cure=f"Choose another: semilayer {command} --port {port + 1}",
            ) from None
        raise ConfigError(
            f"Cannot listen on {host}, port {port}: {error.strerror}.",
            cure="Give an address of this machine and a port above 1023.",
        ) from None


def local_url(port: int) -> str:
    """Return the address of a port of this machine."""
    return f"http://127.0.0.1:{port}"


def url_of(address: socket.socket) -> str:
    """Return where callers find what listens there."""
    host, port = address.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
