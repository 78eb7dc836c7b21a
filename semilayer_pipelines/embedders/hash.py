"""Deterministic, meaningless vectors: for tests and for benchmarks of everything but the model.

Equal texts get equal vectors, on every platform, bit for bit; different texts get unrelated ones.
Nothing here may depend on the order in which floats are added, on endianness or on a library's
random generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.prompts import BuiltWith, OwnPrompts
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.reading import Told

__all__ = ["HashEmbedder"]

_DEFAULT_DIMENSION = 384
_CHUNK_BYTES = 1_000_000  # of one chunk's vectors: temporaries stay in the processor's cache

# The constants of the splitmix64 generator.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class HashEmbedder:
    """Unit vectors from the hash of the text; `model` and `revision` choose the space."""

    def __init__(self, config: EmbeddingConfig) -> None:
        self._dimension = config.dimensions or _DEFAULT_DIMENSION
        space = f"{config.model}@{config.revision or ''}"
        self._seed = xxhash.xxh3_64_intdigest(space.encode())
        self.fingerprint = self.space = f"hash:{space}:{self._dimension}"
        self.built = BuiltWith(None)

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts; nothing is ever truncated."""
        return embed_once(texts, self._embed, dimension=self._dimension)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts; a hash knows no sides."""
        return self.embed(texts)

    def reading(self) -> None:
        """Return that a hash has no limit."""

    def reading_here(self) -> Told:
        """Return that a hash has no limit."""
        return Told(None)

    def own_prompts(self) -> OwnPrompts:
        """Return that there are none."""
        return OwnPrompts()

    def query_prompt(self, own: OwnPrompts) -> None:
        """Return that there is none."""

    def embed_behind(self, prompt: str | None, texts: Sequence[str]) -> Embedded:
        """Embed what the prompt and each text are together."""
        return self.embed([f"{prompt or ''}{text}" for text in texts])

    def _embed(self, texts: list[str]) -> Embedded:
        # xxhash has no call for many texts; this loop is the only work done text by text.
        seeds = np.fromiter(
            (xxhash.xxh3_64_intdigest(text.encode(), self._seed) for text in texts),
            dtype=np.uint64,
            count=len(texts),
        )
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        step = max(1, _CHUNK_BYTES // (4 * self._dimension))
        for start in range(0, len(texts), step):
            vectors[start : start + step] = _unit_vectors(
                seeds[start : start + step], self._dimension
            )
        return Embedded(vectors, np.zeros(len(texts), np.bool_))


def _unit_vectors(seeds: NDArray[np.uint64], dimension: int) -> NDArray[np.float32]:
    words = -(-dimension // 4)  # 64 random bits make four numbers of 16 bits
    counter = np.arange(1, words + 1, dtype=np.uint64) * _GAMMA
    bits = seeds[:, None] + counter
    bits ^= bits >> np.uint64(30)
    bits *= _MIX_1
    bits ^= bits >> np.uint64(27)
    bits *= _MIX_2
    bits ^= bits >> np.uint64(31)
    # Odd, so that no vector is zero however few numbers it has; 17 bits, so exact in float32.
    numbers = bits.astype("<u8", copy=False).view("<i2")[:, :dimension].astype(np.float32)
    numbers *= 2
    numbers += 1
    # Squares of such integers add up exactly in float64: the order of adding cannot show.
    squares = np.einsum("ij,ij->i", numbers, numbers, dtype=np.float64)
    numbers *= (1 / np.sqrt(squares)).astype(np.float32)[:, None]
    return numbers
