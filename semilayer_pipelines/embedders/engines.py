"""From a model to the engine that runs it here: chosen once a process, and said in one line."""

from __future__ import annotations

import logging
import threading
import time

from semilayer_pipelines.embedders.engine import Engine
from semilayer_pipelines.embedders.model_source import ModelSource

__all__ = ["open_engine"]

logger = logging.getLogger(__name__)

_opened: dict[ModelSource, Engine] = {}
_opening = threading.Lock()


def open_engine(source: ModelSource) -> Engine:
    """Return the model's engine, loading it when this process has not done so yet.

    Raises `ModelUnavailable` when the model cannot be had or read.
    """
    with _opening:
        if source not in _opened:
            started = time.monotonic()
            engine = _open(source)
            logger.info(
                "embedding with %s: %s, ready in %.1f s",
                engine.running,
                source,
                time.monotonic() - started,
            )
            _opened[source] = engine
        return _opened[source]


def _open(source: ModelSource) -> Engine:
    from semilayer_pipelines.embedders.load_model import load_model

    model = load_model(source)
    # After the model: both import torch, whose failure is the loader's to explain.
    from semilayer_pipelines.embedders.tokens import Tokeniser
    from semilayer_pipelines.embedders.torch_choice import choose_torch, native_precisions

    return choose_torch(model, Tokeniser.of(model), native_precisions(model.device))
