"""Keeping Lance's memory small while it indexes a million vectors.

Each thread of its runtime reads ahead, and Lance holds as much of an index as 128 MiB before it
writes it to disk.
"""

from __future__ import annotations

import os

from semilayer_pipelines.memory import spare_memory

__all__ = ["spare_lance_memory"]

_HELD_BYTES = 8 * 2**20


def spare_lance_memory() -> None:
    """Set what Lance reads when it starts; must be called before it is imported.

    Variables that are set already are left alone.
    """
    os.environ.setdefault("LANCE_DEFAULT_FRAGMENT_READAHEAD", "1")
    os.environ.setdefault("LANCE_SHUFFLE_BATCH_BYTES", str(_HELD_BYTES))
    spare_memory()
