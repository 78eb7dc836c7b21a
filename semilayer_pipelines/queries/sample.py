"""Some of many things that come by once, each as likely as any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sample"]


class Sample:
    """Chooses `size` of `of` things; all of them where there are no more."""

    def __init__(self, size: int, of: int) -> None:
        drawn = np.random.default_rng().choice(of, size=min(size, of), replace=False)
        self._chosen = np.sort(drawn)
        self._passed = 0

    def among(self, things: int) -> NDArray[np.int64]:
        """Return the positions of the chosen ones among the next things; ascending."""
        begun, self._passed = self._passed, self._passed + things
        first, end = np.searchsorted(self._chosen, [begun, self._passed])
        return self._chosen[first:end].astype(np.int64) - begun
