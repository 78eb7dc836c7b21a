"""From what a lens says about embedding to an embedder.

Opening is cheap and touches neither network nor model: everything heavy waits for the first text.
"""

from __future__ import annotations

from collections.abc import Mapping

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.protocol import Embedder

__all__ = ["open_embedder"]


def open_embedder(
    config: EmbeddingConfig,
    *,
    environ: Mapping[str, str],
    service: str | None = None,
    named: bool = True,
) -> Embedder:
    """Return the embedder of a lens; `environ` holds the variable that `apiKey` names.

    `service` is the address of a `semilayer embedder`; a sentence-transformers model is used there
    instead of being loaded here. It was `named` by a person, or else found: then whatever is wrong
    there, the model is loaded here. Raises `ConfigError` for an unusable address. A missing key or
    model shows at the first use.
    """
    match config.provider:
        case "sentence-transformers":
            from semilayer_pipelines.embedders.local.sentence_transformers import (
                SentenceTransformersEmbedder,
            )

            local = SentenceTransformersEmbedder(config)
            if service is None:
                return local
            from semilayer_pipelines.embedders.warm import WarmEmbedder

            return WarmEmbedder(config, url=service, local=local, environ=environ, named=named)
        case "openai":
            from semilayer_pipelines.embedders.openai import OpenAIEmbedder

            return OpenAIEmbedder(config, environ=environ)
        case "hash":
            from semilayer_pipelines.embedders.hash import HashEmbedder

            return HashEmbedder(config)
