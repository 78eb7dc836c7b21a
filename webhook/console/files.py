"""The console's own stylesheet and script: read once, and named after what is in them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.responses import Response

__all__ = ["address", "file_response"]

_FOLDER = Path(__file__).with_name("static")
_TYPES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


@cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


@cache
def address(name: str) -> str:
    """Return the address of a file, which changes with its content."""
    version = hashlib.sha256(_read(name)).hexdigest()[:12]
    return f"/console/-/static/{name}?v={version}"


def file_response(name: str) -> Response | None:
    """Return a file as it is sent; `None` for one that there is not."""
    if name not in _TYPES:
        return None
    headers = {"cache-control": "public, max-age=86400"}
    return Response(_read(name), headers=headers, media_type=_TYPES[name])
