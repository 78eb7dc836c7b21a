"""What an embedder is: texts in, float32 vectors out.

The fingerprint names the space the vectors live in; it is known without loading the model, so that
a run that finds nothing to embed never imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend

__all__ = ["Embedded", "Embedder"]


@dataclass(frozen=True)
class Embedded:
    """Vectors of shape (texts, dimension), float32, and which texts the model cut short.

    `tokens` is how many tokens the model read of each text, and `by` what computed the
    vectors; both `None` where the embedder does not say.
    """

    vectors: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    tokens: NDArray[np.int64] | None = None
    by: Backend | None = None


class Embedder(Protocol):
    """Turns texts into vectors of one space."""

    @property
    def fingerprint(self) -> str:
        """Name the space: provider, model, revision and what else changes the vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts, in their order.

        Raises `ModelUnavailable` (cannot be loaded, key refused), `EmbedderUnavailable` (busy or
        down, after its own retries), `EmbeddingRejected` (some text of these cannot be embedded, or
        a vector is NaN, infinite or zero), `DimensionChanged` (not the declared dimension).
        """
        ...
