"""Tokenising, and running a model over batches of equal cost, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.ahead import made_ahead
from semilayer_pipelines.embedders.local.batches import Batch, batched
from semilayer_pipelines.embedders.local.tokens import Tokeniser, Tokens
from semilayer_pipelines.embedders.protocol import Embedded

__all__ = ["BATCHES_AHEAD", "BATCHES_UNDER_WAY", "Forward", "TokenEngine"]

BATCHES_AHEAD = 8
"""Batches that are tokenised and padded before a model asks for them, at most."""

BATCHES_UNDER_WAY = 4
"""Batches that a GPU is given before the vectors of the first of them are waited for."""


class Forward(Protocol):
    """The model behind its tokenizer, pooling and all.

    `budget` is padded tokens a batch, `parallel` how many batches run at once.
    """

    budget: int
    parallel: int
    dimension: int

    def run(self, batches: Iterator[Batch], vectors: NDArray[np.float32]) -> None:
        """Take batches as fast as they can be run, and put each text's vector at its place."""
        ...


class TokenEngine:
    """Memory is bounded by the batches in flight, not by the number of texts."""

    def __init__(self, tokeniser: Tokeniser, forward: Forward, backend: Backend) -> None:
        self._tokeniser = tokeniser
        self._forward = forward
        self.backend = backend

    def embed(self, texts: list[str], prompt: str = "") -> Embedded:
        """Embed the texts, each behind the prompt, best given longest first."""
        if prompt:
            self._tokeniser.require_room(prompt)
            texts = [prompt + text for text in texts]
        vectors = np.empty((len(texts), self._forward.dimension), np.float32)
        truncated = np.zeros(len(texts), np.bool_)
        counts = np.zeros(len(texts), np.int64)

        def note(stretch: slice, tokens: Tokens) -> None:
            truncated[stretch] = tokens.truncated
            counts[stretch] = tokens.lengths

        forward = self._forward
        batches = batched(
            texts, self._tokeniser, budget=forward.budget, note=note, parallel=forward.parallel
        )
        with made_ahead(batches, BATCHES_AHEAD) as ready:
            forward.run(ready, vectors)
        return Embedded(vectors, truncated, counts)
