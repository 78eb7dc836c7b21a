"""Running a model with torch: over batches of tokens, or the library's own way.

Imported only where torch is needed; it takes seconds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.batches import Batch
from semilayer_pipelines.embedders.local.token_engine import BATCHES_UNDER_WAY
from semilayer_pipelines.embedders.local.watched_model import WatchedModel, longer_than
from semilayer_pipelines.embedders.prompts import no_room
from semilayer_pipelines.embedders.protocol import Embedded

__all__ = ["Masks", "OwnEncode", "TorchForward", "alone_on"]

_TOKENS_ON_CPU = 1_024  # larger batches leave the caches of a core
_HALVES_ON_CPU = 4_096  # in half precision, where less was not measured
_TOKENS_ON_GPU = 65_536
_TOKENS_ELSEWHERE = 8_192  # on a device whose attention may keep a number for each pair of tokens
_TEXTS_ON_CPU = 32  # for `encode`, which knows no tokens; larger batches only add padding
_TEXTS_ON_ACCELERATOR = 128

_alone = threading.Lock()


class Masks(Enum):
    """What a model's layers get as `attention_mask`."""

    TOKENS = "tokens"
    """Which ids are tokens, of shape (texts, width). The library looks whether any is padding, and
    thereby waits until the device has done all that it was given."""

    PAIRS = "pairs"
    """Which token sees which, of shape (texts, 1, width, width). It is taken as it is."""

    def of(self, seen: torch.Tensor) -> torch.Tensor:
        """Return the mask of a batch whose tokens are `seen`, Boolean of shape (texts, width)."""
        if self is Masks.TOKENS:
            return seen.long()
        texts, width = seen.shape
        return seen[:, None, None, :].expand(texts, 1, width, width)


class TorchForward:
    """The model's own modules, one copy a device, each with a thread where there are several.

    `masks` is how the layers are told which tokens are padding. `Masks.PAIRS` spares a wait for the
    device in each batch, and not every model takes it.
    """

    def __init__(self, models: Sequence[WatchedModel], masks: Masks) -> None:
        self._models = models
        self._masks = masks
        device = models[0].device
        # Two pages at once would have twice as many threads as there are cores.
        self._turn = threading.Lock() if device.type == "cpu" else alone_on(device)
        self.budget = _budget(models[0])
        self.parallel = len(models)
        self.dimension = int(models[0].get_embedding_dimension() or 0)

    def run(self, batches: Iterator[Batch], vectors: NDArray[np.float32]) -> None:
        """Share the batches out among the devices."""
        if len(self._models) == 1:
            self._run(self._models[0], batches, vectors)
            return
        shared = _Shared(batches)
        with ThreadPoolExecutor(len(self._models)) as threads:
            list(threads.map(lambda model: self._run(model, shared, vectors), self._models))

    @torch.inference_mode()
    def _run(
        self, model: WatchedModel, batches: Iterator[Batch], vectors: NDArray[np.float32]
    ) -> None:
        """Fetch a batch's vectors only once others are under way: the device never waits for us."""
        under_way: deque[_UnderWay] = deque()
        for batch in batches:
            with self._turn:
                under_way.append(_start(model, batch, self._masks))
            if len(under_way) > BATCHES_UNDER_WAY:
                under_way.popleft().fetch(vectors)
        while under_way:
            under_way.popleft().fetch(vectors)


class OwnEncode:
    """`SentenceTransformer.encode`, for models that read more than token ids."""

    def __init__(self, model: WatchedModel, backend: Backend) -> None:
        self._model = model
        self._using = threading.Lock()  # its tokenizer cannot be used by two threads at once
        self._texts = _TEXTS_ON_CPU if model.device.type == "cpu" else _TEXTS_ON_ACCELERATOR
        self.backend = backend

    def embed(self, texts: list[str], prompt: str = "") -> Embedded:
        """Embed the texts, each behind the prompt, which pooling may leave out."""
        model = self._model
        with self._using, alone_on(model.device):
            if prompt:
                _require_room(model, prompt)
            model.forget()
            # An empty prompt, too: without one the library takes the model's default.
            vectors = model.encode(
                texts, prompt=prompt, batch_size=self._texts, show_progress_bar=False
            )
            cut = np.fromiter((text in model.cut for text in texts), np.bool_, count=len(texts))
            read = [model.read[text] for text in texts if text in model.read]
        tokens = np.array(read, dtype=np.int64) if len(read) == len(texts) else None
        return Embedded(np.ascontiguousarray(vectors, dtype=np.float32), cut, tokens)


def _budget(model: WatchedModel) -> int:
    match model.device.type:
        case "cpu":
            halved = any(weights.dtype.itemsize < 4 for weights in model[0].parameters())
            return _HALVES_ON_CPU if halved else _TOKENS_ON_CPU
        case "cuda":
            return _TOKENS_ON_GPU
        case _:
            return _TOKENS_ELSEWHERE


def alone_on(device: torch.device) -> AbstractContextManager[object]:
    """Return what a thread holds while it uses an accelerator.

    CUDA may be used by several at once. Metal ends a process in which two threads give it work at
    the same time, and of others nothing is known.
    """
    return nullcontext() if device.type in ("cpu", "cuda") else _alone


def _require_room(model: WatchedModel, prompt: str) -> None:
    limit = model.max_seq_length
    if limit is not None and longer_than(limit - 1, model.tokenizer, [prompt])[0]:
        raise no_room(prompt, int(limit))


class _Shared:
    """An iterator for several threads; what makes the batches runs in one of them at a time."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._taking = threading.Lock()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        with self._taking:
            return next(self._batches)


@dataclass(frozen=True)
class _UnderWay:
    """A batch whose vectors are being made; `fetched` comes when they are in memory here."""

    places: NDArray[np.intp]
    made: torch.Tensor
    fetched: torch.cuda.Event | None

    def fetch(self, vectors: NDArray[np.float32]) -> None:
        if self.fetched is not None:
            self.fetched.synchronize()
        vectors[self.places] = self.made.numpy()


def _start(model: WatchedModel, batch: Batch, masks: Masks) -> _UnderWay:
    device = model.device
    ids = _on_device(batch.ids, device).long()
    lengths = _on_device(batch.lengths, device)
    seen = torch.arange(ids.shape[1], device=device) < lengths[:, None]
    features = {"input_ids": ids, "attention_mask": masks.of(seen)}
    reader, *others = model
    features = reader(features)
    # Pooling counts the tokens.
    features["attention_mask"] = seen.long()
    for module in others:
        features = module(features)
    made = features["sentence_embedding"].float()
    if device.type != "cuda":
        return _UnderWay(batch.places, made.cpu(), None)
    # Torch puts what it fetches without blocking into pinned memory of its own.
    made = made.to("cpu", non_blocking=True)
    fetched = torch.cuda.Event()  # type: ignore[no-untyped-call]
    # Of this device: without a name it would be the thread's own, which is always the first GPU.
    fetched.record(torch.cuda.current_stream(device))
    return _UnderWay(batch.places, made, fetched)


def _on_device(array: NDArray[np.int32], device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
