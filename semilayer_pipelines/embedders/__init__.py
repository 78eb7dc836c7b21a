"""Texts in, vectors out."""

from semilayer_pipelines.embedders.open import (
    build_of,
    check_embedding,
    known_build,
    open_embedder,
)
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedded, Embedder

__all__ = [
    "BuiltWith",
    "Embedded",
    "Embedder",
    "build_of",
    "check_embedding",
    "known_build",
    "open_embedder",
]
