"""Amounts of bytes as people write and read them: `500MB`, `5GB`."""

from __future__ import annotations

__all__ = ["SIZE", "size_of", "size_told"]

SIZE = r"^[1-9]\d{0,5}(MB|GB|TB)$"

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def size_of(text: str) -> int:
    """Return the bytes that a text such as `5GB` names."""
    return int(text[:-2]) * _UNITS[text[-2:]]


def size_told(size: int) -> str:
    """Return a number of bytes for people: `12 kB`, `3.4 MB`."""
    for unit, bytes_ in reversed({"kB": 1_000, **_UNITS}.items()):
        if size >= bytes_:
            number = size / bytes_
            return f"{number:.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{size} bytes"
