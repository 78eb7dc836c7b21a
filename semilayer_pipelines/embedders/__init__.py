"""Texts in, vectors out."""

from semilayer_pipelines.embedders.open import open_embedder
from semilayer_pipelines.embedders.protocol import Embedded, Embedder

__all__ = ["Embedded", "Embedder", "open_embedder"]
