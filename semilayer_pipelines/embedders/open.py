"""From what a lens says about embedding to an embedder.

Opening is cheap and touches neither network nor model: everything heavy waits for the first text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.prompts import BuiltWith, OwnPrompts, built_now
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.embedders.providers import takes
from semilayer_pipelines.errors import ConfigError, EmbedderUnavailable, ModelUnavailable

__all__ = ["build_of", "check_embedding", "known_build", "open_embedder"]

logger = logging.getLogger(__name__)


def open_embedder(
    config: EmbeddingConfig,
    *,
    environ: Mapping[str, str],
    built: BuiltWith | None = None,
    service: str | None = None,
    named: bool = True,
    folder: Path = Path(),
) -> Embedder:
    """Return the embedder of a lens; `environ` holds the variable that `apiKey` names.

    A model that is a relative path begins in `folder`.

    `built` is how the index was built that the vectors are for, `None` for one that is made now:
    then the prompts are those that are known on this machine (see `build_of`).

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

            local = SentenceTransformersEmbedder(config, built=built, folder=folder)
            if service is None:
                return local
            from semilayer_pipelines.embedders.warm import WarmEmbedder

            return WarmEmbedder(config, url=service, local=local, environ=environ, named=named)
        case "openai":
            from semilayer_pipelines.embedders.openai import OpenAIEmbedder

            return OpenAIEmbedder(config, environ=environ, built=built)
        case "static":
            from semilayer_pipelines.embedders.static import StaticEmbedder

            return StaticEmbedder(config, folder=folder)
        case "hash":
            from semilayer_pipelines.embedders.hash import HashEmbedder

            return HashEmbedder(config)


def known_build(config: EmbeddingConfig, folder: Path = Path()) -> BuiltWith | None:
    """Return how an index is built that is made now, from what is on this machine.

    A relative path begins in `folder`. `None` while it is not known: the model's files are
    elsewhere. Raises `ModelUnavailable` for a
    model that is a path which does not exist, or whose files cannot be read.
    """
    if config.provider != "sentence-transformers":
        return built_now(config.prompts, OwnPrompts())
    from semilayer_pipelines.embedders.local.model_source import find_model
    from semilayer_pipelines.embedders.local.own_prompts import own_prompts

    own = own_prompts(find_model(config.model, config.revision, folder))
    return None if own is None else built_now(config.prompts, own)


def check_embedding(config: EmbeddingConfig, embedder: Embedder) -> None:
    """Raise `ConfigError` for what the model or its provider cannot do, as far as it is known now.

    These are prompts that the model has no room for, and batches where the provider has none of
    OpenAI's form. Where nobody tells, the first text does.
    """
    if config.batch and takes(config).batches is False:
        raise ConfigError(
            "embedding: 'batch' is for OpenAI, and for servers whose batches have the same form; "
            "this provider's have another, or cannot be used for a lens.",
            cure="Take 'batch: true' out. The vectors are then asked for at once.",
        )
    prompts = [text for text in (config.prompts.query, config.prompts.passage) if text]
    if not prompts:
        return
    with suppress(ModelUnavailable, EmbedderUnavailable):
        if (reading := embedder.reading()) is not None:
            for prompt in prompts:
                reading.require_room(prompt)


def build_of(
    config: EmbeddingConfig,
    *,
    environ: Mapping[str, str],
    service: str | None = None,
    folder: Path = Path(),
) -> BuiltWith:
    """Return how an index is built that is made now, asking the service or the hub if need be.

    Where nobody can say what the model brings, it is taken to bring no prompts. Raises like
    `known_build`.
    """
    known = known_build(config, folder)
    if known is not None:
        return known
    from semilayer_pipelines.embedders.local.model_source import find_model
    from semilayer_pipelines.embedders.local.own_prompts import fetch_own_prompts
    from semilayer_pipelines.embedders.local.sentence_transformers import (
        SentenceTransformersEmbedder,
    )
    from semilayer_pipelines.embedders.warm import WarmEmbedder

    own = None
    if service is not None:
        local = SentenceTransformersEmbedder(config, folder=folder)
        own = WarmEmbedder(config, url=service, local=local, environ=environ).own_prompts()
    if own is None:
        try:
            own = fetch_own_prompts(find_model(config.model, config.revision, folder))
        except ModelUnavailable as error:
            logger.warning("Whether %s brings prompts is not known: %s", config.model, error)
            own = OwnPrompts()
    return built_now(config.prompts, own)
