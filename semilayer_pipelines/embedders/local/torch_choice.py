"""The fastest way to run a model with torch whose vectors are still the model's own.

Half precision is a gain where the hardware has it natively, and some models overflow in it. So each
way is held against the vectors of the model as it was loaded, and the model is put back as it was
when they point elsewhere. Only the first module, which is nearly all of the work, computes in it:
sixteen bits are too few to pool in, and to make vectors of length one. A text that overflows all
the same is embedded in float32.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.probe import PROBES, holds
from semilayer_pipelines.embedders.local.token_engine import TokenEngine
from semilayer_pipelines.embedders.local.tokens import Tokeniser
from semilayer_pipelines.embedders.local.torch_engine import Masks, OwnEncode, TorchForward
from semilayer_pipelines.embedders.local.watched_model import WatchedModel
from semilayer_pipelines.embedders.protocol import Embedded

__all__ = ["choose_torch", "native_precisions", "own_vectors"]

logger = logging.getLogger(__name__)

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_FULL = "float32"


def choose_torch(
    model: WatchedModel, tokeniser: Tokeniser | None, precisions: Sequence[str]
) -> Engine:
    """Return the first way that holds; the last resort is the model as it is, which always does.

    `precisions` are tried in their order, before float32; the model is left in the chosen one.
    """
    reference = own_vectors(model)
    reader = model[0]
    kept = copy.deepcopy(reader.state_dict()) if precisions else {}
    reader.register_forward_hook(_in_full)
    for precision in precisions:
        reader.to(_DTYPES[precision])
        for engine in _ways(model, tokeniser, precision):
            if holds(engine, PROBES, reference):
                return _Widened(engine, lambda: _in_float32(model, tokeniser))
        reader.float()
        reader.load_state_dict(kept)
    for engine in _ways(model, tokeniser, _FULL):
        if holds(engine, PROBES, reference):
            return engine
    return OwnEncode(model, _backend(model, _FULL))


class _Widened:
    """An engine in half precision, and one in `full` for the texts that overflow in it."""

    def __init__(self, half: Engine, full: Callable[[], Engine]) -> None:
        self._half = half
        self._open = full
        self._opening = threading.Lock()
        self._full: Engine | None = None
        self.backend = half.backend

    def embed(self, texts: list[str], prompt: str = "") -> Embedded:
        """Embed the texts, each behind the prompt, best given longest first."""
        done = self._half.embed(texts, prompt)
        over = np.flatnonzero(~np.isfinite(done.vectors).all(axis=1))
        if over.size:
            again = self._opened().embed([texts[at] for at in over.tolist()], prompt)
            done.vectors[over] = again.vectors
        return done

    def _opened(self) -> Engine:
        with self._opening:
            if self._full is None:
                self._full = self._open()
                logger.info("%s: texts that overflow in it take float32", self.backend)
            return self._full


def _in_float32(model: WatchedModel, tokeniser: Tokeniser | None) -> Engine:
    """Return a copy of a model in half precision that computes in full, in the library's way."""
    # Without its notes, which others write meanwhile.
    wide = copy.deepcopy(model, {id(model.cut): set(), id(model.read): {}})
    wide[0].float()
    backend = _backend(wide, _FULL)
    if tokeniser is None:
        return OwnEncode(wide, backend)
    return TokenEngine(tokeniser, TorchForward([wide], Masks.TOKENS), backend)


def native_precisions(device: torch.device) -> tuple[str, ...]:
    """Return the half precisions that a device computes in by itself, the better one first."""
    if device.type != "cpu":
        return ("float16", "bfloat16")
    # Older torch does not tell, and then computes in full.
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return ("bfloat16",) if has.get("avx512_bf16") or has.get("amx_bf16") else ()


def own_vectors(model: WatchedModel) -> NDArray[np.float32]:
    """Return the probes' vectors as the library makes them, without any prompt."""
    vectors = model.encode(list(PROBES), prompt="", show_progress_bar=False)
    return np.asarray(vectors, np.float32)


def _in_full(_module: torch.nn.Module, _inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
    """Hand the modules behind the first one what they would get without half precision."""
    return {
        name: value.float() if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in features.items()
    }


def _ways(model: WatchedModel, tokeniser: Tokeniser | None, precision: str) -> Iterator[Engine]:
    if tokeniser is not None:
        models = _on_all_devices(model)
        for masks in _masks(model):
            yield TokenEngine(tokeniser, TorchForward(models, masks), _backend(model, precision))
    # A processor gains nothing from half precision where there are no layers of matrices.
    if model.device.type != "cpu":
        yield OwnEncode(model, _backend(model, precision))


def _masks(model: WatchedModel) -> Sequence[Masks]:
    """Return how the layers may be told of padding, the faster way first."""
    # A processor has nothing to wait for.
    return (Masks.TOKENS,) if model.device.type == "cpu" else (Masks.PAIRS, Masks.TOKENS)


def _on_all_devices(model: WatchedModel) -> list[WatchedModel]:
    """Return the model and, for each further GPU, a copy of it there."""
    if model.device.type != "cuda":
        return [model]
    others = (at for at in range(torch.cuda.device_count()) if at != (model.device.index or 0))
    return [model, *(copy.deepcopy(model).to(f"cuda:{at}") for at in others)]


def _backend(model: WatchedModel, precision: str) -> Backend:
    device = model.device.type
    if device == "cuda" and torch.cuda.device_count() > 1:
        device = f"{torch.cuda.device_count()} × cuda"
    return Backend("torch", precision, device)
