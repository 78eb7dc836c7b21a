"""Vectors from a sentence-transformers model that runs in this process.

Importing this module, opening the embedder and asking for its fingerprint are cheap; torch and the
model come with the first text. Vectors are what the model's own modules make: nothing is normalised,
prefixed or pooled here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from semilayer_pipelines.config.models import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.load_model import load_model
from semilayer_pipelines.embedders.model_source import ModelSource, find_model, vector_space
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import EmbeddingRejected

__all__ = ["SentenceTransformersEmbedder"]

_BATCH_ON_CPU = 32  # larger ones only add padding: two cores are busy with one
_BATCH_ON_ACCELERATOR = 128

# One process has one model a source, and a tokenizer cannot be used by two threads at once.
_using = threading.Lock()


class SentenceTransformersEmbedder:
    """A model by name or path; copies of one model share a fingerprint."""

    def __init__(self, config: EmbeddingConfig) -> None:
        self._config = config

    @cached_property
    def fingerprint(self) -> str:
        """Name the space; raise `ModelUnavailable` when the model is a path that does not exist."""
        cut_to = f":{self._config.dimensions}" if self._config.dimensions else ""
        return f"sentence-transformers:{vector_space(self._source)}{cut_to}"

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts; raises what the protocol names."""
        return embed_once(texts, self._embed, dimension=self._config.dimensions)

    @cached_property
    def _source(self) -> ModelSource:
        return find_model(self._config.model, self._config.revision)

    def _embed(self, texts: list[str]) -> Embedded:
        model = load_model(self._source)
        batch = _BATCH_ON_CPU if model.device.type == "cpu" else _BATCH_ON_ACCELERATOR
        with _using:
            model.forget()
            try:
                vectors = model.encode(
                    texts,
                    batch_size=batch,
                    show_progress_bar=False,
                    truncate_dim=self._config.dimensions,
                )
            # Out of memory, a token the model has no row for: which text did it shows by halving.
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise EmbeddingRejected(f"The model failed on {len(texts)} texts: {reason}") from (
                    error
                )
            cut = np.fromiter((text in model.cut for text in texts), np.bool_, count=len(texts))
            read = [model.read[text] for text in texts if text in model.read]
        tokens = np.array(read, dtype=np.int64) if len(read) == len(texts) else None
        return Embedded(np.ascontiguousarray(vectors, dtype=np.float32), cut, tokens)
