"""The small files of a model, as far as they are on this machine; neither torch nor network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from semilayer_pipelines.embedders.local.model_source import ModelSource, Origin
from semilayer_pipelines.errors import ModelUnavailable

__all__ = ["hub_cache", "is_here", "model_file", "model_json"]


def model_file(source: ModelSource, name: str) -> Path | None:
    """Return the path of a file of the model, `None` where it has none or it is not here."""
    if source.origin is not Origin.HUB:
        path = Path(source.location, name)
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(
            source.location, name, cache_dir=hub_cache(), revision=source.revision
        )
    except HFValidationError:
        return None  # a name that no hub has; loading the model says so
    return Path(cached) if isinstance(cached, str) else None


def model_json(source: ModelSource, name: str) -> dict[str, Any]:
    """Return what a file of JSON holds, nothing without one.

    Raises `ModelUnavailable` for one that cannot be read.
    """
    path = model_file(source, name)
    if path is None:
        return {}
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{path} cannot be read: {error}.", cure="Fetch the model's files again."
        ) from error
    return said if isinstance(said, dict) else {}


def is_here(source: ModelSource) -> bool:
    """Say whether the model's files are on this machine."""
    return any(model_file(source, name) for name in ("modules.json", "config.json"))


def hub_cache() -> str | None:
    """Return the folder in which models of the hub are kept, `None` for the hub's own."""
    return os.environ.get("SENTENCE_TRANSFORMERS_HOME")
