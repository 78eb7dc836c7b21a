"""The model that is served: opened, loaded, warmed up, and what is said about it.

Opening takes seconds and imports torch; it happens on the worker's thread, never on the one that
answers callers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedder_service.rerank import ServedReranker
from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.local.probe import PROBES
from semilayer_pipelines.embedders.prompts import OwnPrompts
from semilayer_pipelines.embedders.protocol import PromptedEmbedder
from semilayer_pipelines.embedders.reading import MAX_READING_BYTES
from semilayer_pipelines.embedders.reranker import open_reranker
from semilayer_pipelines.embedders.served import prompted

__all__ = ["Opened", "ServedModel", "open_model"]


@dataclass(frozen=True)
class ServedModel:
    """What callers may know of the model.

    `prompts` are its own; `reading` is the JSON that tells how it reads, if that is known.
    A caller that must not mix vector spaces asks for the `fingerprint` in place of the name. One
    that must have its prompt read asks for `prompted(fingerprint)`, which older services refuse.
    """

    name: str
    fingerprint: str
    dimension: int
    backend: Backend
    prompts: OwnPrompts = field(default_factory=OwnPrompts)
    reading: bytes | None = field(default=None, repr=False)

    def answers_to(self, name: str) -> bool:
        """Say whether a request for `name` means this model."""
        return name in (self.name, self.fingerprint) or self.must_be_prompted(name)

    def must_be_prompted(self, name: str) -> bool:
        """Say whether a request for `name` has to bring a prompt."""
        return name == prompted(self.fingerprint)


@dataclass(frozen=True)
class Opened:
    """A model that is loaded and has embedded something."""

    embedder: PromptedEmbedder
    model: ServedModel
    reranker: ServedReranker | None = None


def open_model(config: EmbeddingConfig, rerank: str | None = None) -> Opened:
    """Load the model and embed some texts with it, and load a reranker; takes seconds.

    Raises what the embedder raises: `ModelUnavailable` when it cannot be had.
    """
    embedder = _on_this_machine(config)
    warm = embedder.embed_behind(None, PROBES)
    return Opened(
        embedder,
        ServedModel(
            name=config.model,
            fingerprint=embedder.space,
            dimension=warm.vectors.shape[1],
            backend=warm.by or Backend(config.provider, "float32", "cpu"),
            prompts=embedder.own_prompts() or OwnPrompts(),
            reading=_reading(embedder),
        ),
        None if rerank is None else _open_reranker(rerank),
    )


def _reading(embedder: PromptedEmbedder) -> bytes | None:
    """Write once how the model reads, when it is loaded and its files are here."""
    told = embedder.reading_here()
    if told is None:
        return None
    written = json.dumps(told.as_json(embedder.space)).encode()
    return written if len(written) <= MAX_READING_BYTES else None


def _open_reranker(name: str) -> ServedReranker:
    reranker = open_reranker(name, environ={})
    reranker.scores(PROBES[0], PROBES[1:2])
    return ServedReranker(name, reranker)


def _on_this_machine(config: EmbeddingConfig) -> PromptedEmbedder:
    if config.provider == "hash":
        return HashEmbedder(config)
    from semilayer_pipelines.embedders.local.sentence_transformers import (
        SentenceTransformersEmbedder,
    )

    return SentenceTransformersEmbedder(config)
