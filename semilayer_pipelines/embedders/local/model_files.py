"""The small files of a model: those on this machine, and how they get here. No torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from semilayer_pipelines.embedders.local.hub import hub_has
from semilayer_pipelines.embedders.local.load_model import unavailable
from semilayer_pipelines.embedders.local.model_source import ModelSource
from semilayer_pipelines.errors import ModelUnavailable

__all__ = ["fetch", "is_here", "is_known", "model_file", "model_json", "parsed"]


def model_file(source: ModelSource, name: str) -> Path | None:
    """Return the path of a file of the model, `None` where it has none or it is not here."""
    if not source.on_hub:
        path = Path(source.location, name)
        return path if path.is_file() else None
    cached = _cached(source, name)
    return Path(cached) if isinstance(cached, str) else None


def is_known(source: ModelSource, name: str) -> bool:
    """Say whether a file of the model is here, or known not to exist."""
    return not source.on_hub or _cached(source, name) is not None


def _cached(source: ModelSource, name: str) -> object:
    """Return the path of a file of the hub, `None` when nobody here asked for it yet."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return try_to_load_from_cache(
            source.location, name, cache_dir=_hub_cache(), revision=source.revision
        )
    except HFValidationError:
        return None  # a name that no hub has; loading the model says so


def model_json(source: ModelSource, name: str) -> dict[str, Any]:
    """Return the object that a file of JSON holds, empty without one. Raises like `parsed`."""
    said = parsed(source, name)
    return said if isinstance(said, dict) else {}


def parsed(source: ModelSource, name: str) -> Any:
    """Return what a file of JSON holds, `None` without one.

    Raises `ModelUnavailable` for one that cannot be read.
    """
    path = model_file(source, name)
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{path} cannot be read: {error}.", cure="Fetch the model's files again."
        ) from error


def fetch(source: ModelSource, *names: str) -> None:
    """Get files of a model here from the hub, as far as it has them and they are not here.

    Raises `ModelUnavailable` when the hub does not have the model, or cannot be asked.
    """
    missing = [name for name in names if model_file(source, name) is None]
    # Asked first: the library would retry each file for a minute.
    if not source.on_hub or not missing or not hub_has(source):
        return
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in missing:
        try:
            hf_hub_download(source.location, name, revision=source.revision, cache_dir=_hub_cache())
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):
                raise unavailable(source, error) from error
        # The hub's library raises what its own libraries do.
        except Exception as error:
            raise unavailable(source, error) from error


def is_here(source: ModelSource) -> bool:
    """Say whether the model's files are on this machine."""
    return any(model_file(source, name) for name in ("modules.json", "config.json"))


def _hub_cache() -> str | None:
    """Return the folder in which models of the hub are kept, `None` for the hub's own."""
    return os.environ.get("SENTENCE_TRANSFORMERS_HOME")
