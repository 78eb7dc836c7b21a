"""Vectors of a static model: a look-up for each token, so a hundred times as fast as a transformer.

It knows no order of words and no context. The model comes with the first text, once an embedder.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.local.model_source import (
    ModelSource,
    find_model,
    require_same,
    vector_space,
)
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedded

if TYPE_CHECKING:
    from semilayer_pipelines.embedders.local.static_model import StaticModel

__all__ = ["StaticEmbedder"]


class StaticEmbedder:
    """A model by name or path; copies of one model share a fingerprint. Safe between threads.

    A relative path begins in `folder`.
    """

    def __init__(self, config: EmbeddingConfig, *, folder: Path = Path()) -> None:
        self._config = config
        self._folder = folder
        self._model: StaticModel | None = None
        self._opening = threading.Lock()
        self.built = BuiltWith(None)

    @cached_property
    def fingerprint(self) -> str:
        """Name the space; raise `ModelUnavailable` when the model is a path that does not exist."""
        cut_to = f":{self._config.dimensions}" if self._config.dimensions else ""
        return f"static:{self._copy}{cut_to}"

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts; nothing is ever truncated, and a text without a known word is rejected.

        Raises what the protocol names.
        """
        return embed_once(texts, self._embed, dimension=self._config.dimensions)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts; a static model knows no sides."""
        return self.embed(texts)

    def reading(self) -> None:
        """Return that a static model reads texts of any length."""

    @cached_property
    def _source(self) -> ModelSource:
        return find_model(self._config.model, self._config.revision, self._folder)

    @cached_property
    def _copy(self) -> str:
        """Name the vectors of the copy as it was when it was first asked for them."""
        return vector_space(self._source)

    def _load(self) -> StaticModel:
        from semilayer_pipelines.embedders.local.static_model import StaticModel

        named = self._copy
        model = StaticModel.load(self._source)
        require_same(self._source, named)
        return model

    def _embed(self, texts: list[str]) -> Embedded:
        with self._opening:
            if self._model is None:
                self._model = self._load()
            model = self._model
        done = model.embed(texts)
        return replace(
            done, vectors=np.ascontiguousarray(done.vectors[:, : self._config.dimensions])
        )
