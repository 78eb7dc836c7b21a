"""By what rules the long texts of a lens are cut: their name, and the size that a chunk may have.

Known without cutting anything, so that a push can say whether an index has to be cut otherwise.
"""

from __future__ import annotations

from contextlib import suppress

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import ConfigError, EmbedderUnavailable, ModelUnavailable
from semilayer_pipelines.mapping.hashes import fingerprint

__all__ = ["check_size", "cut_by", "weights_of"]

_RULES = 1
"""Raise when texts begin to be cut elsewhere; every index then cuts its long texts again."""


def cut_by(config: LensConfig, embedder: Embedder) -> str | None:
    """Return a name of all that decides where texts are cut, `None` where nothing is ever cut.

    Raises `ConfigError` for a size that the model does not read, `ReadingUnknown` when nobody can
    tell how the model reads, and what else `Embedder.reading` raises.
    """
    chunking = config.chunking
    if chunking.mode == "off":
        return None
    reading = embedder.reading()
    if reading is not None:
        _check_size(config, reading)
    elif chunking.size is None:
        return None
    decides = {
        "rules": _RULES,
        "model": embedder.fingerprint,
        "chunking": chunking.model_dump(mode="json", exclude_defaults=True),
        "weights": list(weights_of(config).items()),
    }
    return fingerprint(decides)


def weights_of(config: LensConfig) -> dict[str, int]:
    """Return the searchable fields of a lens in their order, each with its weight."""
    return {name: f.searchable.weight for name, f in config.fields.items() if f.searchable}


def check_size(config: LensConfig, embedder: Embedder) -> None:
    """Raise `ConfigError` for a size that the model does not read, where its limit is known now.

    A model that cannot be had now is for the first run to complain of.
    """
    if config.chunking.size is None:
        return
    with suppress(ModelUnavailable, EmbedderUnavailable):
        if (reading := embedder.reading()) is not None:
            _check_size(config, reading)


def _check_size(config: LensConfig, reading: Reading) -> None:
    size = config.chunking.size
    if size is not None and size > reading.limit:
        raise ConfigError(
            f"A chunk of {size} tokens is more than the model "
            f"{config.embedding.model!r} reads, {reading.limit}.",
            cure=f"Write 'size: {reading.limit}' or less, or leave it out.",
        )
