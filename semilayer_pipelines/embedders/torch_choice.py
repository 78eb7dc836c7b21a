"""The fastest way to run a model with torch whose vectors are still the model's own.

Half precision is a gain where the hardware has it natively, and some models overflow in it. So each
way is held against the vectors of the model as it was loaded, and the model is put back as it was
when they point elsewhere. Only the first module, which is nearly all of the work, computes in it:
sixteen bits are too few to pool in, and to make vectors of length one.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semilayer_pipelines.embedders.engine import Engine
from semilayer_pipelines.embedders.probe import PROBES, closeness
from semilayer_pipelines.embedders.running import Running
from semilayer_pipelines.embedders.token_engine import TokenEngine
from semilayer_pipelines.embedders.tokens import Tokeniser
from semilayer_pipelines.embedders.torch_engine import OwnEncode, TorchForward
from semilayer_pipelines.embedders.watched_model import WatchedModel

__all__ = ["choose_torch", "holds", "native_precisions", "own_vectors"]

logger = logging.getLogger(__name__)

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_FULL = "float32"


def choose_torch(
    model: WatchedModel, tokeniser: Tokeniser | None, precisions: Sequence[str]
) -> Engine:
    """Return the first way that holds; the last resort is the model as it is, which always does.

    `precisions` are to be tried in their order, before float32; the model is left in the chosen one.
    """
    reference = own_vectors(model)
    reader = model[0]
    kept = copy.deepcopy(reader.state_dict()) if precisions else {}
    reader.register_forward_hook(_in_full)
    for precision in precisions:
        reader.to(_DTYPES[precision])
        for engine in _ways(model, tokeniser, precision):
            if holds(engine, reference):
                return engine
        reader.float()
        reader.load_state_dict(kept)
    for engine in _ways(model, tokeniser, _FULL):
        if holds(engine, reference):
            return engine
    return OwnEncode(model, _running(model, _FULL))


def native_precisions(device: torch.device) -> tuple[str, ...]:
    """Return the half precisions that a device computes in by itself, the better one first."""
    if device.type != "cpu":
        return ("float16", "bfloat16")
    has = torch.cpu.get_capabilities()
    return ("bfloat16",) if has.get("avx512_bf16") or has.get("amx_bf16") else ()


def own_vectors(model: WatchedModel) -> NDArray[np.float32]:
    """Return the probes' vectors as the library makes them."""
    return np.asarray(model.encode(list(PROBES), show_progress_bar=False), np.float32)


def holds(engine: Engine, reference: NDArray[np.float32]) -> bool:
    """Say whether an engine gives the probes' vectors; whatever it raises counts as a no."""
    try:
        close = closeness(engine.embed(list(PROBES)).vectors, reference)
    # A kernel that is missing, a shape that was fixed by tracing: each backend has its own errors.
    except Exception as error:  # noqa: BLE001
        logger.info("%s cannot run this model: %s", engine.running, _first_line(error))
        return False
    if not close.holds:
        logger.info("%s is not used: %s against the model's own vectors", engine.running, close)
    return close.holds


def _in_full(_module: torch.nn.Module, _inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
    """Hand the modules behind the first one what they would get without half precision."""
    return {
        name: value.float() if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in features.items()
    }


def _ways(model: WatchedModel, tokeniser: Tokeniser | None, precision: str) -> Iterator[Engine]:
    if tokeniser is not None:
        yield TokenEngine(
            tokeniser, TorchForward(_on_all_devices(model)), _running(model, precision)
        )
    # A processor gains nothing from half precision where there are no layers of matrices.
    if model.device.type != "cpu":
        yield OwnEncode(model, _running(model, precision))


def _on_all_devices(model: WatchedModel) -> list[WatchedModel]:
    """Return the model and, for each further GPU, a copy of it there."""
    if model.device.type != "cuda":
        return [model]
    others = (at for at in range(torch.cuda.device_count()) if at != (model.device.index or 0))
    return [model, *(copy.deepcopy(model).to(f"cuda:{at}") for at in others)]


def _running(model: WatchedModel, precision: str) -> Running:
    device = model.device.type
    if device == "cuda" and torch.cuda.device_count() > 1:
        device = f"{torch.cuda.device_count()} × cuda"
    return Running("torch", precision, device)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
