"""Vectors from a sentence-transformers model that runs in this process.

Importing this module, opening the embedder and asking for its fingerprint are cheap; torch and the
model come with the first text. Vectors are what the model's own modules make: nothing is
normalised or pooled here, and a prompt is put before a text as the library would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.engines import open_engine
from semilayer_pipelines.embedders.local.model_source import ModelSource, find_model, vector_space
from semilayer_pipelines.embedders.local.own_prompts import own_prompts
from semilayer_pipelines.embedders.local.reading import fetch_reading, reading_here
from semilayer_pipelines.embedders.prompts import (
    BuiltWith,
    OwnPrompts,
    built_now,
    fingerprint_of,
    query_prompt,
)
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.reading import Reading, Remembered, Told
from semilayer_pipelines.errors import EmbeddingRejected, SemilayerError

__all__ = ["SentenceTransformersEmbedder"]


class SentenceTransformersEmbedder:
    """A model by name or path; copies of one model share a fingerprint.

    `built` is how the index was built that the vectors are for. Without it the passages' prompt is
    the lens's, or the model's own as far as its files are on this machine. A relative path begins
    in `folder`.
    """

    def __init__(
        self, config: EmbeddingConfig, *, built: BuiltWith | None = None, folder: Path = Path()
    ) -> None:
        self._config = config
        self._folder = folder
        self._built = built
        self._own: OwnPrompts | None = None
        self._reading = Remembered(self._find_reading)

    @cached_property
    def space(self) -> str:
        """Name the model and all that changes its vectors but a prompt.

        Raises `ModelUnavailable` when the model is a path that does not exist.
        """
        cut_to = f":{self._config.dimensions}" if self._config.dimensions else ""
        # Any other precision gives the model's own vectors, this one only gives what is near.
        rounded = ":int8" if self._config.precision == "int8" else ""
        return f"sentence-transformers:{self._copy}{cut_to}{rounded}"

    @cached_property
    def fingerprint(self) -> str:
        """Name the space; raise `ModelUnavailable` when the model is a path that does not exist."""
        return fingerprint_of(self.space, self.built.passage_prompt)

    @cached_property
    def built(self) -> BuiltWith:
        """How an index is built, or was, whose vectors these are."""
        return self._built or built_now(self._config.prompts, self.own_prompts() or OwnPrompts())

    def own_prompts(self) -> OwnPrompts | None:
        """Return what the model brings; `None` while its files are not on this machine."""
        # Asked with every page and question, and its files do not change.
        if self._own is None:
            self._own = own_prompts(self._source)
        return self._own

    def reading(self) -> Reading | None:
        """Return how the model reads, asking the hub where its files are not here."""
        return self._reading.get()

    def reading_here(self) -> Told | None:
        """Return how the model reads; `None` while its files are not on this machine."""
        return reading_here(self._source)

    def _find_reading(self) -> Reading | None:
        return (self.reading_here() or fetch_reading(self._source)).reading

    def query_prompt(self, own: OwnPrompts) -> str | None:
        """Return what goes before a question, when this is what the model brings."""
        return query_prompt(self._config.prompts, own, self._built)

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts of rows; raises what the protocol names."""
        return self.embed_behind(self.built.passage_prompt, texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed texts that somebody searches by; raises what the protocol names."""
        self._loaded()  # with it come its files, where it was on the hub
        return self.embed_behind(self.query_prompt(self.own_prompts() or OwnPrompts()), texts)

    def embed_behind(self, prompt: str | None, texts: Sequence[str]) -> Embedded:
        """Embed texts, each behind the prompt; `None` is the one for texts of neither side.

        Raises what the protocol names.
        """
        return embed_once(texts, partial(self._embed, prompt), dimension=self._config.dimensions)

    @cached_property
    def _source(self) -> ModelSource:
        return find_model(self._config.model, self._config.revision, self._folder)

    @cached_property
    def _copy(self) -> str:
        """Name the vectors of the copy as it was when it was first asked for them."""
        return vector_space(self._source)

    def _loaded(self) -> Engine:
        return open_engine(self._source, self._config.precision, space=self._copy)

    def _embed(self, prompt: str | None, texts: list[str]) -> Embedded:
        engine = self._loaded()
        if prompt is None:
            prompt = (self.own_prompts() or OwnPrompts()).plain
        try:
            done = engine.embed(texts, prompt)
        except SemilayerError:
            raise
        # Out of memory, a token the model has no row for: which text did it shows by halving.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EmbeddingRejected(f"The model failed on {len(texts)} texts: {reason}") from error
        vectors = np.ascontiguousarray(done.vectors[:, : self._config.dimensions])
        return replace(done, vectors=vectors, by=engine.backend)
