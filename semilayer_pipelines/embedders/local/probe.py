"""Whether a faster way of running a model still gives the model's own vectors.

A few texts of every kind are embedded both ways. A way that does not hold is not used, whatever it
would save: vectors of one generation must all be comparable (invariant 9).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.local.engine import Engine

__all__ = ["INT8", "OWN", "PROBES", "Closeness", "Floor", "closeness", "holds"]

logger = logging.getLogger(__name__)

_PROSE = (
    "Keeps the vectors of a search index in step with rows of a table, whoever writes to them, and "
    "says at any time how far it has come. "
)
PROBES = (
    "a",
    "The quick brown fox jumps over the lazy dog.",
    "SELECT name FROM packages WHERE section = 'database' -- 42",
    "Größe, 検索, поиск, بحث",
    "web server",
    "a daemon that answers HTTP requests\nsmall and quick",
    "1,234.50 EUR",
    "https://example.org/a/b?c=d#e",
    "🙂 emoji, and a tab\tin between",
    "UPPER CASE, lower case, CamelCase and snake_case",
    "Library of routines for exact linear algebra (development files)",
    "A game of chess against the machine, in three strengths.",
    _PROSE,
    _PROSE * 2,
    _PROSE * 4,
    _PROSE * 40,
)
"""Short and long, one longer than most models read; letters of several scripts, code, numbers."""


@dataclass(frozen=True)
class Floor:
    """The mean and the least cosine that are asked for."""

    mean: float
    least: float

    def __str__(self) -> str:
        return f"mean {self.mean}, least {self.least}"


OWN = Floor(mean=0.999, least=0.99)
"""Vectors above it may stand side by side with the model's own in one index."""

INT8 = Floor(mean=0.99, least=0.97)
"""Vectors above it find nine of the ten nearest that the model's own find."""


@dataclass(frozen=True)
class Closeness:
    """The mean and the least cosine between two lists of vectors; NaN when some are no vectors."""

    mean: float
    least: float

    @property
    def holds(self) -> bool:
        """Say whether vectors of the two kinds may stand side by side in one index."""
        return self.above(OWN)

    def above(self, floor: Floor) -> bool:
        """Say whether both are what `floor` asks for."""
        return self.mean >= floor.mean and self.least >= floor.least

    def __str__(self) -> str:
        return f"mean cosine {self.mean:.5f}, least {self.least:.5f}"


def closeness(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> Closeness:
    """Compare vectors row by row; both of shape (texts, dimension)."""
    with np.errstate(all="ignore"):
        products = np.einsum("ij,ij->i", ours, reference)
        cosines = products / np.linalg.norm(ours, axis=1) / np.linalg.norm(reference, axis=1)
    return Closeness(float(cosines.mean()), float(cosines.min()))


def holds(engine: Engine, probes: Sequence[str], reference: NDArray[np.float32]) -> bool:
    """Say whether an engine gives the probes' vectors; whatever it raises counts as a no."""
    try:
        close = closeness(engine.embed(list(probes)).vectors, reference)
    # A kernel that is missing, a shape that was fixed by tracing: each backend has its own errors.
    except Exception as error:  # noqa: BLE001
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        logger.info("%s cannot run this model: %s", engine.backend, said)
        return False
    if not close.holds:
        logger.info("%s is not used: %s against the model's own vectors", engine.backend, close)
    return close.holds
