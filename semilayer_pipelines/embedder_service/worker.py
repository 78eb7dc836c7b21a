"""The thread that owns the model: it loads the model, then embeds pending texts until closed.

One thread, because a model is fastest with one batch at a time and a tokenizer cannot be shared. A
request must never be left without a response, whatever ends the thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from semilayer_pipelines.embedder_service.batch import embed_batch
from semilayer_pipelines.embedder_service.batch_size import FIRST_BUDGET, next_budget
from semilayer_pipelines.embedder_service.metrics import Metrics
from semilayer_pipelines.embedder_service.model import Opened, ServedModel
from semilayer_pipelines.embedder_service.problems import not_ready
from semilayer_pipelines.embedder_service.queue import TextQueue
from semilayer_pipelines.embedder_service.rerank import ServedReranker
from semilayer_pipelines.errors import SemilayerError

__all__ = ["Worker"]

logger = logging.getLogger(__name__)

_FIRST_GUESS_PER_SECOND = 20_000  # characters; a processor with a small model


class Worker:
    """Loads with `open_model`, embeds what is in `queue`.

    `ended` is called, on the worker's thread, with the error that kept the model from loading or
    broke the loop.
    """

    def __init__(
        self,
        queue: TextQueue,
        open_model: Callable[[], Opened],
        metrics: Metrics,
        *,
        ended: Callable[[Exception], object],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._queue = queue
        self._open_model = open_model
        self._metrics = metrics
        self._ended = ended
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name="embedder", daemon=True)
        self._characters_per_second = float(_FIRST_GUESS_PER_SECOND)
        self.model: ServedModel | None = None
        """The model, once it can be used."""
        self.reranker: ServedReranker | None = None
        """The reranker, when there is one and `model` can be used."""

    def start(self) -> None:
        """Begin to load the model."""
        self._thread.start()

    def stop(self) -> None:
        """Embed what waits, then end; a model that is still loading is not waited for."""
        self._queue.close()
        if self.model is not None:
            self._thread.join()

    def seconds_for(self, characters: int) -> float:
        """Guess how long so much text takes, from how long the last batches took."""
        return characters / self._characters_per_second

    def _run(self) -> None:
        try:
            opened = self._open_model()
            self.reranker = opened.reranker
            self.model = opened.model
            self._embed(opened)
        # Reported, not raised: nobody would see it on this thread.
        except SemilayerError as error:
            self._end(error)
        except Exception as error:
            logger.exception("the embedder's thread broke down")
            self._end(error)

    def _end(self, error: Exception) -> None:
        self.model = None
        self._queue.abandon(not_ready("The model broke down; the service is ending."))
        self._ended(error)

    def _embed(self, opened: Opened) -> None:
        budget = FIRST_BUDGET
        while (taken := self._queue.take(budget)) is not None:
            started = self._clock()
            counts = embed_batch(opened.embedder, taken)
            seconds = self._clock() - started
            self._metrics.batch(counts, seconds)
            if counts.embedded:
                speed = taken.cost / max(seconds, 1e-6)
                self._characters_per_second += (speed - self._characters_per_second) / 8
            # A batch that was cut or had room left says little about a full one.
            if taken.full and counts.calls == 1:
                budget = next_budget(budget, taken.cost, seconds)
