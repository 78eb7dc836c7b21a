"""Reading the address of a service. The client imports this: it needs the standard library."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

__all__ = ["http_address"]


def http_address(url: str) -> SplitResult | None:
    """Return the parts of an http:// or https:// address; `None` when it is none.

    A refusal must not quote the address: somebody may have put a password into it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None
