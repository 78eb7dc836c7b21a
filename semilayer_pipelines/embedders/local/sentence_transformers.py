"""Vectors from a sentence-transformers model that runs in this process.

Importing this module, opening the embedder and asking for its fingerprint are cheap; torch and the
model come with the first text. Vectors are what the model's own modules make: nothing is
normalised, prefixed or pooled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.local.engines import open_engine
from semilayer_pipelines.embedders.local.model_source import ModelSource, find_model, vector_space
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import EmbeddingRejected

__all__ = ["SentenceTransformersEmbedder"]


class SentenceTransformersEmbedder:
    """A model by name or path; copies of one model share a fingerprint."""

    def __init__(self, config: EmbeddingConfig) -> None:
        self._config = config

    @cached_property
    def fingerprint(self) -> str:
        """Name the space; raise `ModelUnavailable` when the model is a path that does not exist."""
        cut_to = f":{self._config.dimensions}" if self._config.dimensions else ""
        # Any other precision gives the model's own vectors, this one only gives what is near.
        rounded = ":int8" if self._config.precision == "int8" else ""
        return f"sentence-transformers:{vector_space(self._source)}{cut_to}{rounded}"

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts; raises what the protocol names."""
        return embed_once(texts, self._embed, dimension=self._config.dimensions)

    @cached_property
    def _source(self) -> ModelSource:
        return find_model(self._config.model, self._config.revision)

    def _embed(self, texts: list[str]) -> Embedded:
        engine = open_engine(self._source, self._config.precision)
        try:
            done = engine.embed(texts)
        # Out of memory, a token the model has no row for: which text did it shows by halving.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EmbeddingRejected(f"The model failed on {len(texts)} texts: {reason}") from error
        vectors = np.ascontiguousarray(done.vectors[:, : self._config.dimensions])
        return replace(done, vectors=vectors, by=engine.backend)
