"""Keeping Lance's memory small: indexing a million vectors took 870 MB, and 530 like this.

Both are about the threads of its runtime. Each of them reads ahead, and each that allocates gets an
arena of glibc's, in which what was freed stays.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["spare_memory"]

_M_ARENA_MAX = -8  # malloc.h


def spare_memory() -> None:
    """Set what Lance reads when it starts; must be called before it is imported.

    `LANCE_DEFAULT_FRAGMENT_READAHEAD` and `MALLOC_ARENA_MAX` are left alone where they are set.
    Allocators other than glibc's have no arenas to limit.
    """
    os.environ.setdefault("LANCE_DEFAULT_FRAGMENT_READAHEAD", "1")
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        limit = getattr(ctypes.CDLL(None), "mallopt", None)
        if limit is not None:
            limit(_M_ARENA_MAX, 1)
