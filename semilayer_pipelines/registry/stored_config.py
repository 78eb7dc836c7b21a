"""How configuration models are kept: as the JSON they would be written as, and as a hash.

What was not written must stay unwritten: `undefinedAs: null` and no `undefinedAs` mean different
things, and only the set of given keys tells them apart.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from semilayer_pipelines.config.base import STORED
from semilayer_pipelines.config.models import LensConfig, SourceConfig
from semilayer_pipelines.config.orchestrated import FOR_THE_ORCHESTRATOR

__all__ = [
    "canonical_hash",
    "content_version",
    "lens_from_json",
    "source_from_json",
    "to_json",
    "with_defaults",
]

_NOT_CONTENT = {
    "sync_interval",
    "smart_sync_interval",
    "full_walk_every",
    "debounce",
    "guard",
    "rerank",
    "rebuild",
    "shards",
    *FOR_THE_ORCHESTRATOR,
}


def to_json(config: LensConfig | SourceConfig) -> dict[str, Any]:
    """Return the configuration as JSON with the file's names, holding what was given."""
    return config.model_dump(mode="json", by_alias=True, exclude_unset=True)


def lens_from_json(stored: dict[str, Any]) -> LensConfig:
    """Read back a lens that `to_json` gave."""
    return LensConfig.model_validate(stored, context=STORED)


def source_from_json(stored: dict[str, Any]) -> SourceConfig:
    """Read back a source that `to_json` gave."""
    return SourceConfig.model_validate(stored, context=STORED)


def with_defaults(config: LensConfig) -> dict[str, Any]:
    """Return the configuration as JSON with every default written out."""
    return config.model_dump(mode="json", by_alias=True)


def canonical_hash(config: LensConfig) -> str:
    """Return the SHA-256, in hex, of what the configuration means.

    A default that is written out counts the same as one that is not. The order of the fields
    counts, because their texts are embedded in it.
    """
    text = json.dumps(with_defaults(config), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def content_version(config: LensConfig) -> str:
    """Return twelve hexadecimal digits that change with what an index of the lens holds.

    A key that a later version adds, and that nobody has written, changes nothing.
    """
    told = config.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude=_NOT_CONTENT
    )
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
