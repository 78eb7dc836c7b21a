"""A reranker that the embedder service keeps warm, with the local one to fall back on.

It is asked for by its fingerprint, so that no other model's scores can slip in.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.answer import error_text
from semilayer_pipelines.embedders.reranker import Reranker, checked_scores
from semilayer_pipelines.embedders.retry import GivenUp, MayPass, send
from semilayer_pipelines.embedders.served import ServedModels, ServiceAway
from semilayer_pipelines.errors import EmbedderUnavailable, ModelUnavailable
from semilayer_pipelines.http.deadline import within

__all__ = ["WarmReranker"]

logger = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_ANSWER_S = 60.0


class WarmReranker:
    """Scores at the service, or with `local` where that has no such model. Safe to share."""

    def __init__(
        self, *, url: str, local: Reranker, environ: Mapping[str, str], named: bool = True
    ) -> None:
        self._served = ServedModels(url, environ=environ)
        self._local = local
        self._named = named
        self._choosing = threading.Lock()
        self._remote: bool | None = None

    @property
    def fingerprint(self) -> str:
        """Name the model; raise `ModelUnavailable` when it is a path that does not exist."""
        return self._local.fingerprint

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score the texts; raises what the protocol names.

        The first call decides between the service and the local model.
        """
        with self._choosing:
            if self._remote is None:
                self._remote = self._is_there()
        if not texts or not self._remote:
            return self._local.scores(query, texts)
        body = {"model": self.fingerprint, "query": query, "documents": list(texts)}
        try:
            said = send(lambda: self._ask(body), sleep=time.sleep, random=random.random)
        except GivenUp as failed:
            raise EmbedderUnavailable(
                f"{self._served.url}/rerank did not answer in {failed.attempts} attempts; "
                f"the last one: {failed.reason}",
                cure="Check that the embedder is up, then search again.",
            ) from None
        return checked_scores(_scores(said), len(texts), self.fingerprint)

    def _is_there(self) -> bool:
        try:
            served = self._served.ask()
        except ServiceAway as away:
            found, why = False, str(away)
        except (EmbedderUnavailable, ModelUnavailable):
            if self._named:
                raise
            return False
        else:
            found = any(one.reranker and one.fingerprint == self.fingerprint for one in served)
            why = "it was started without '--rerank', or with another model"
        if not found:
            logger.log(
                logging.WARNING if self._named else logging.INFO,
                "The embedder at %s does not serve %s (%s), which is loaded here instead.",
                self._served.url,
                self.fingerprint,
                why,
            )
        return found

    def _ask(self, body: Mapping[str, object]) -> bytes:
        """Send one request; raise `MayPass` when it may be sent again."""
        import httpx

        try:
            with httpx.Client(
                headers=self._served.headers(), timeout=_TIMEOUT_S, follow_redirects=False
            ) as client:
                response = within(
                    _ANSWER_S,
                    lambda: client.post(f"{self._served.url}/rerank", json=body),
                    give_up=client.close,
                )
        except TimeoutError as error:
            raise MayPass(str(error), late=True) from error
        except (httpx.RequestError, RuntimeError) as error:
            raise MayPass(type(error).__name__) from error
        if response.status_code == httpx.codes.OK:
            return response.content
        said = f"HTTP {response.status_code}: {error_text(response.content, self._served.clean)}"
        if response.status_code >= 500 or response.status_code in (408, 429):
            raise MayPass(said)
        raise ModelUnavailable(
            f"{self._served.url}/rerank refuses: {said}",
            cure="Every replica of the embedder needs the lens's reranker (`--rerank`).",
        )


def _scores(body: bytes) -> NDArray[np.float32]:
    """Return the scores in the order of the texts; empty for what is no answer of that kind."""
    try:
        said: Any = json.loads(body)
        results = said["results"]
        scores = np.full(len(results), np.nan, np.float32)
        scores[[int(one["index"]) for one in results]] = [one["relevance_score"] for one in results]
    except (ValueError, TypeError, KeyError, IndexError):
        return np.zeros(0, np.float32)
    return scores
