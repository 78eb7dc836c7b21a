"""Keys of which it is only asked whether they are among many: 8 bytes each.

The hashes live no longer than the process. One key may pass for another, once in 2^64.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["KeyHashes"]

_SEED = 3
_NONE: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)


class KeyHashes:
    """A set of keys that grows."""

    def __init__(self) -> None:
        self._parts = [_NONE]

    def __bool__(self) -> bool:
        return any(len(part) for part in self._parts)

    def __len__(self) -> int:
        return len(self._sorted())

    def add(self, keys: pl.Series) -> None:
        """Take in keys (String)."""
        if len(keys):
            self._parts.append(keys.hash(_SEED).to_numpy())

    def __or__(self, other: KeyHashes) -> KeyHashes:
        """Return the keys of both."""
        both = KeyHashes()
        both._parts = [*self._parts, *other._parts]
        return both

    def have(self, keys: pl.Series) -> pl.Series:
        """Say which of these keys (String) are among them; Boolean."""
        known = self._sorted()
        if not len(known):
            return pl.repeat(False, len(keys), eager=True)
        wanted = keys.hash(_SEED).to_numpy()
        where = np.searchsorted(known, wanted)
        where[where == len(known)] = 0
        return pl.Series(known[where] == wanted, dtype=pl.Boolean)

    def without(self, keys: pl.Series) -> pl.Series:
        """Return those of these keys (String) that are not among them."""
        return keys.filter(~self.have(keys))

    def _sorted(self) -> NDArray[np.uint64]:
        if len(self._parts) > 1:
            self._parts = [np.unique(np.concatenate(self._parts))]
        return self._parts[0]
