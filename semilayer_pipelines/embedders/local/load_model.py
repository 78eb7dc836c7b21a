"""Loading a sentence-transformers model into torch: quietly, and with errors of one line.

Torch is imported only after everything cheap was checked: the package's checksum, the hub's answer.
No failure here may take minutes or end in a traceback.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.embedders.local.accelerator import may_have_accelerator
from semilayer_pipelines.embedders.local.hub import CURE, first_line, hub_has
from semilayer_pipelines.embedders.local.model_source import ModelSource, Origin, verify_package
from semilayer_pipelines.errors import ModelUnavailable

if TYPE_CHECKING:
    from semilayer_pipelines.embedders.local.watched_model import WatchedModel

__all__ = ["load_model", "quiet", "unavailable"]

logger = logging.getLogger(__name__)

_OF_A_DEVICE = re.compile(r"\b(CUDA|NVIDIA|HIP|MPS|XPU)\b|out of memory", re.IGNORECASE)
_DEVICE_CURE = (
    "Free memory on the accelerator, or check its driver. With CUDA_VISIBLE_DEVICES set to "
    "nothing, the processor is used in place of an NVIDIA GPU."
)
_LIBRARIES = ("sentence_transformers", "transformers", "huggingface_hub")


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


def unavailable(source: ModelSource, error: Exception, *, cure: str = CURE) -> ModelUnavailable:
    """Return what says in one line that a model cannot be loaded, or cannot run here."""
    said = first_line(error)
    # Torch tells most of a device by a plain `RuntimeError`.
    of_device = isinstance(error, RuntimeError) and _OF_A_DEVICE.search(said)
    return ModelUnavailable(
        f"The model cannot be loaded from {source}: {said}",
        cure=_DEVICE_CURE if of_device else cure,
    )


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
