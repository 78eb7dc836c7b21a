"""Amounts of bytes as people write them: `500MB`, `5GB`."""

from __future__ import annotations

__all__ = ["SIZE", "size_of"]

SIZE = r"^[1-9]\d{0,5}(MB|GB|TB)$"

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def size_of(text: str) -> int:
    """Return the bytes that a text such as `5GB` names."""
    return int(text[:-2]) * _UNITS[text[-2:]]
