"""Scoring texts against a question: the service's second model, on a thread of its own.

Searches wait for it, so it does not queue behind an ingest's texts. Few may wait at a time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedder_service.json_body import json_object
from semilayer_pipelines.embedder_service.problems import bad_request, busy, no_such_model
from semilayer_pipelines.embedders.checks import check_texts
from semilayer_pipelines.embedders.reranker import Reranker
from semilayer_pipelines.errors import EmbeddingRejected

__all__ = [
    "MAX_DOCUMENTS",
    "RerankQueue",
    "RerankRequest",
    "ServedReranker",
    "read_rerank",
    "write_scores",
]

MAX_DOCUMENTS = 1_000
"""Texts in one request for a reranker."""

_WAITING = 16


@dataclass(frozen=True)
class ServedReranker:
    """A reranker that is loaded, and its name. It is asked for by name or by fingerprint."""

    name: str
    reranker: Reranker

    def answers_to(self, name: str) -> bool:
        """Say whether a request for `name` means this model."""
        return name in (self.name, self.reranker.fingerprint)


@dataclass(frozen=True)
class RerankRequest:
    """A question, and the texts to score, one at least."""

    query: str
    documents: list[str]


class RerankQueue:
    """One request at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reranker")
        self._held = 0

    async def scores(self, model: ServedReranker, asked: RerankRequest) -> NDArray[np.float32]:
        """Wait for the model, and return its scores; raise `Problem` when too many wait."""
        if self._held >= _WAITING:
            raise busy(f"{self._held} requests wait for the reranker already.", 1)
        self._held += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._thread, model.reranker.scores, asked.query, asked.documents
            )
        finally:
            self._held -= 1

    def close(self) -> None:
        """Score what waits, then end."""
        self._thread.shutdown()


def read_rerank(body: bytes, model: ServedReranker | None) -> RerankRequest:
    """Return what the body asks for; raise `Problem` when it is wrong or for another model."""
    fields = json_object(body)
    wanted = fields.get("model")
    if not isinstance(wanted, str):
        raise bad_request("'model' is missing.", param="model")
    if model is None or not model.answers_to(wanted):
        raise no_such_model(wanted[:200], "no reranker" if model is None else model.name)
    query, documents = fields.get("query"), fields.get("documents")
    if not isinstance(query, str):
        raise bad_request("'query' is no text.", param="query")
    if (
        not isinstance(documents, list)
        or not 0 < len(documents) <= MAX_DOCUMENTS
        or not all(isinstance(text, str) for text in documents)
    ):
        raise bad_request(
            f"'documents' is no list of 1 to {MAX_DOCUMENTS} texts.", param="documents"
        )
    try:
        check_texts([query, *documents])
    except EmbeddingRejected as error:
        raise bad_request(error.message, param="documents") from None
    return RerankRequest(query, documents)


def write_scores(scores: Sequence[float], name: str) -> bytes:
    """Return the body of the response, best first, in the shape that others use too."""
    ranked = sorted(range(len(scores)), key=lambda at: -scores[at])
    results: list[dict[str, Any]] = [{"index": at, "relevance_score": scores[at]} for at in ranked]
    return json.dumps({"model": name, "results": results}, separators=(",", ":")).encode()
