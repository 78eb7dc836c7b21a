"""What the routes share: the queue, the worker with its model, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass

from semilayer_pipelines.embedder_service.metrics import Metrics
from semilayer_pipelines.embedder_service.model import ServedModel
from semilayer_pipelines.embedder_service.problems import not_ready
from semilayer_pipelines.embedder_service.queue import TextQueue
from semilayer_pipelines.embedder_service.rerank import RerankQueue
from semilayer_pipelines.embedder_service.worker import Worker
from semilayer_pipelines.http.bodies import Bodies

__all__ = ["Service"]


@dataclass(frozen=True)
class Service:
    """One process with one model. `key`: what `/v1/` needs, if anything.

    `started` is in seconds since 1970.
    """

    queue: TextQueue
    worker: Worker
    bodies: Bodies
    metrics: Metrics
    key: str | None
    started: int
    reranking: RerankQueue

    def model(self) -> ServedModel:
        """Return the model; raises `Problem` while it is not loaded."""
        if self.worker.model is None:
            raise not_ready("The model is loading.")
        return self.worker.model
