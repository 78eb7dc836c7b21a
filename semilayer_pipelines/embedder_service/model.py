"""The model that is served: opened, loaded, warmed up, and what is said about it.

Opening takes seconds and imports torch; it happens on the worker's thread, never on the one that
answers callers.
"""

from __future__ import annotations

from dataclasses import dataclass

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.probe import PROBES
from semilayer_pipelines.embedders.protocol import Embedder

__all__ = ["Opened", "ServedModel", "open_model"]


@dataclass(frozen=True)
class ServedModel:
    """What callers may know of the model.

    A caller that must not mix vector spaces asks for the `fingerprint` in place of the name.
    """

    name: str
    fingerprint: str
    dimension: int
    backend: Backend

    def answers_to(self, name: str) -> bool:
        """Say whether a request for `name` means this model."""
        return name in (self.name, self.fingerprint)


@dataclass(frozen=True)
class Opened:
    """A model that is loaded and has embedded something."""

    embedder: Embedder
    model: ServedModel


def open_model(config: EmbeddingConfig) -> Opened:
    """Load the model and embed some texts with it; takes seconds.

    Raises what the embedder raises: `ModelUnavailable` when it cannot be had.
    """
    embedder = open_embedder(config, environ={})
    warm = embedder.embed(PROBES)
    return Opened(
        embedder,
        ServedModel(
            name=config.model,
            fingerprint=embedder.fingerprint,
            dimension=warm.vectors.shape[1],
            backend=warm.by or Backend(config.provider, "float32", "cpu"),
        ),
    )
