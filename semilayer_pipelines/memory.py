"""Giving memory back to the system that is not used any more.

A page of vectors is megabytes, and its arrays live for a second. Left to themselves, allocators
keep most of that: glibc's has one arena per thread, and serves large blocks from them once it has
seen such blocks come and go. A run then holds much more than it uses.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["give_back", "spare_memory"]

# malloc.h
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE_BYTES = 4 * 2**20  # blocks from here on go straight back; each costs page faults


def spare_memory() -> None:
    """Have freed memory go back at once; a setting that a person made is left alone.

    Should be called before threads are started: each may have an arena by then. Allocators other
    than glibc's have none to limit.
    """
    if sys.platform != "linux":
        return
    limit = getattr(ctypes.CDLL(None), "mallopt", None)
    if limit is None:
        return
    tuned = os.environ.get("GLIBC_TUNABLES", "")
    if "MALLOC_ARENA_MAX" not in os.environ and "malloc.arena_max" not in tuned:
        limit(_M_ARENA_MAX, 1)
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ and "malloc.mmap_threshold" not in tuned:
        limit(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return to the system what glibc keeps of freed memory; milliseconds. Elsewhere nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
