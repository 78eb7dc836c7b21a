"""Importing much at once, without looking for garbage in what stays until the process ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collector"]


@contextmanager
def without_collector() -> Iterator[None]:
    """Have no garbage collected in this block, nor ever looked for in what it imported.

    Looking is a tenth of what a command's imports take. At the end of the process it is once more
    as much: Python looks at all that there is before it goes.
    """
    was_on = gc.isenabled()
    imported = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        # Only after an import: what is garbage now, and goes round in a circle, stays too.
        if len(sys.modules) > imported:
            gc.freeze()
        if was_on:
            gc.enable()
