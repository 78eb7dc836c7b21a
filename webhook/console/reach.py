"""To whom the console is served: to nobody, to this machine, or to whoever reaches the webhook.

The setting is `SEMILAYER_CONSOLE`. By default a webhook that listens on every address, as in a
container, still keeps the console to its own machine: nobody said that it should be public.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import Request

from semilayer_pipelines.errors import ConfigError, nearest

__all__ = ["Reach", "is_local", "reach_of"]

_SETTING = "SEMILAYER_CONSOLE"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Reach(StrEnum):
    """To whom the console is served."""

    OFF = "off"
    LOCAL = "local"
    ON = "on"


def reach_of(environ: Mapping[str, str]) -> Reach:
    """Read the setting. Raises `ConfigError` for an unknown word."""
    word = environ.get("SEMILAYER_CONSOLE", Reach.LOCAL.value)
    if word not in list(Reach):
        raise ConfigError(
            f"The setting {_SETTING} is {word!r}{nearest(word, list(Reach))}.",
            cure="Use `local` (this machine only), `on` (whoever reaches the webhook) or `off`.",
        )
    return Reach(word)


def is_local(request: Request) -> bool:
    """Say whether a request comes from this machine, from a browser that meant it.

    One that a proxy passed on does not, whatever address the proxy has. A name that is not this
    machine's may be another site's, which had it resolved to this machine.
    """
    server, client = request.scope.get("server"), request.client
    if server is None or client is None or any(name in request.headers for name in _FORWARDED):
        return False
    named = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return all(map(_is_loopback, (server[0], client.host, named)))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
