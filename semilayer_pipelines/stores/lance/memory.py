"""Keeping Lance's memory small while it indexes a million vectors.

Each thread of its runtime reads ahead, and each that allocates gets an arena of glibc's, in which
what was freed stays. And Lance holds as much of an index as 128 MiB before it writes it to disk.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["spare_memory"]

_M_ARENA_MAX = -8  # malloc.h
_HELD_BYTES = 8 * 2**20


def spare_memory() -> None:
    """Set what Lance reads when it starts; must be called before it is imported.

    Variables that are set already are left alone, `MALLOC_ARENA_MAX` too. Allocators other than
    glibc's have no arenas to limit.
    """
    os.environ.setdefault("LANCE_DEFAULT_FRAGMENT_READAHEAD", "1")
    os.environ.setdefault("LANCE_SHUFFLE_BATCH_BYTES", str(_HELD_BYTES))
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        limit = getattr(ctypes.CDLL(None), "mallopt", None)
        if limit is not None:
            limit(_M_ARENA_MAX, 1)
