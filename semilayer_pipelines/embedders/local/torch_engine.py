"""Running a model with torch: over batches of tokens, or the library's own way.

Imported only where torch is needed; it takes seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.batches import Batch
from semilayer_pipelines.embedders.local.watched_model import WatchedModel, longer_than
from semilayer_pipelines.embedders.prompts import no_room
from semilayer_pipelines.embedders.protocol import Embedded

__all__ = ["OwnEncode", "TorchForward"]

_TOKENS_ON_CPU = 4_096
_TOKENS_ON_ACCELERATOR = 65_536
_TEXTS_ON_CPU = 32  # for `encode`, which knows no tokens; larger batches only add padding
_TEXTS_ON_ACCELERATOR = 128


class TorchForward:
    """The model's own modules, one copy a device, each with a thread where there are several."""

    def __init__(self, models: Sequence[WatchedModel]) -> None:
        self._models = models
        on_cpu = models[0].device.type == "cpu"
        self.budget = _TOKENS_ON_CPU if on_cpu else _TOKENS_ON_ACCELERATOR
        self.parallel = len(models)
        self.dimension = int(models[0].get_embedding_dimension() or 0)

    def run(self, batches: Iterator[Batch], vectors: NDArray[np.float32]) -> None:
        """Share the batches out among the devices."""
        if len(self._models) == 1:
            _run(self._models[0], batches, vectors)
            return
        shared = _Shared(batches)
        with ThreadPoolExecutor(len(self._models)) as threads:
            list(threads.map(lambda model: _run(model, shared, vectors), self._models))


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
        with self._using:
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


@torch.inference_mode()
def _run(model: WatchedModel, batches: Iterator[Batch], vectors: NDArray[np.float32]) -> None:
    """Fetch each batch's vectors only once the next is under way: the device never waits for us."""
    before: tuple[Batch, torch.Tensor, torch.Event | None] | None = None
    for batch in batches:
        under_way = _start(model, batch)
        if before is not None:
            _finish(before, vectors)
        before = under_way
    if before is not None:
        _finish(before, vectors)


def _start(model: WatchedModel, batch: Batch) -> tuple[Batch, torch.Tensor, torch.Event | None]:
    features = {
        "input_ids": _on_device(batch.ids, model.device),
        "attention_mask": _on_device(batch.mask, model.device),
    }
    made = model(features)["sentence_embedding"].float()
    if model.device.type == "cpu":
        return batch, made, None
    # Torch puts what it fetches without blocking into pinned memory of its own.
    made = made.to("cpu", non_blocking=True)
    fetched = torch.Event(device=model.device)
    fetched.record()
    return batch, made, fetched


def _finish(
    under_way: tuple[Batch, torch.Tensor, torch.Event | None], vectors: NDArray[np.float32]
) -> None:
    batch, made, fetched = under_way
    if fetched is not None:
        fetched.synchronize()
    vectors[batch.places] = made.numpy()


def _on_device(array: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
