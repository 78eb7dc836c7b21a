"""Which models have to come from the hub, before anybody loads them."""

from __future__ import annotations

from pathlib import Path

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.local.cross_encoder import LocalReranker
from semilayer_pipelines.embedders.local.model_files import is_here
from semilayer_pipelines.embedders.local.model_source import ModelSource, find_model

__all__ = ["embedder_on_hub", "reranker_on_hub"]


def embedder_on_hub(config: EmbeddingConfig, folder: Path = Path()) -> ModelSource | None:
    """Return the model of a lens as the hub names it, `None` where the hub is not needed for it.

    A relative path begins in `folder`. Raises `ModelUnavailable` for a path that does not exist.
    """
    if config.provider not in ("sentence-transformers", "static"):
        return None
    return _absent(find_model(config.model, config.revision, folder))


def reranker_on_hub(model: str, folder: Path = Path()) -> ModelSource | None:
    """Return a reranker as the hub names it; see `embedder_on_hub`."""
    return _absent(LocalReranker(model, folder).source)


def _absent(source: ModelSource) -> ModelSource | None:
    return source if source.on_hub and not is_here(source) else None
