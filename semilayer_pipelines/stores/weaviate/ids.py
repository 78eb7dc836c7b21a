"""The two ids that an object of a row can have, and how they are told from foreign ones.

A server takes the old vector of an object out of its index at once, and puts the new one in later.
So an object whose vector changes is not overwritten: the new one is inserted under the other id of
its key, and the old one is deleted when that is acknowledged. Both ids follow from the key. So a
row is found again without an index of keys, and writing it twice is writing it once.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from hashlib import sha1
from itertools import chain

import polars as pl

__all__ = ["SLOTS", "both_ids", "object_id", "slots_of"]

SLOTS = 2
"""Ids that a row's object can have; the first is the one of older collections."""

# The second one is the first of another namespace.
_NAMESPACES = (
    uuid.UUID("9f0f7c4e-6b0e-5b0c-9d5e-2f2a6d5c1f7b"),
    uuid.UUID("3d1a8a52-0f5e-5f4e-8a43-6c7d1f0b9e21"),
)
_SPACES = tuple(each.bytes for each in _NAMESPACES)
_MARKS = 0x5 << 76 | 0x2 << 62  # version 5 and the variant of RFC 4122
_KEPT = ~(0xF << 76 | 0x3 << 62) & (1 << 128) - 1


def object_id(key: str, slot: int = 0) -> str:
    """Return an id of a row's object, the same in every generation.

    It is a UUID of version 5. Not the client's `generate_uuid5`, which runs its parts together
    without a mark between them. The standard library takes twice as long.
    """
    digest = sha1(_SPACES[slot] + key.encode(), usedforsecurity=False).digest()
    digits = f"{int.from_bytes(digest[:16]) & _KEPT | _MARKS:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def both_ids(keys: Sequence[str]) -> list[str]:
    """Return the ids that the objects of these keys can have, those of a key together."""
    return list(chain.from_iterable((object_id(key), object_id(key, 1)) for key in keys))


def slots_of(keys: Sequence[str | None], ids: Sequence[str]) -> pl.Series:
    """Return which of its key's ids each object has, UInt8; null for an id that is none of them."""
    return pl.Series(
        [_slot_of(key, own) for key, own in zip(keys, ids, strict=True)], dtype=pl.UInt8
    )


def _slot_of(key: str | None, own: str) -> int | None:
    if key is None:
        return None
    return next((slot for slot in range(SLOTS) if object_id(key, slot) == own), None)
