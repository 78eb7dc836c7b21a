"""One request's texts on their way through the model, and the vectors that have come back.

It knows nothing of the queue or of HTTP. Only the worker delivers; a caller that hung up has
cancelled `done`, and nothing more is delivered to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.protocol import Embedded

__all__ = ["PendingRequest"]


class PendingRequest:
    """The texts of one request, each to be read behind its prompt.

    `done` becomes their vectors, in order, or the first failure.
    """

    def __init__(self, texts: Sequence[str], prompt: str | None = None) -> None:
        self.prompt = prompt
        self.texts = tuple(texts)
        self.characters = sum(map(len, self.texts))
        self.done: Future[Embedded] = Future()
        self._missing = len(self.texts)
        self._vectors: NDArray[np.float32] | None = None
        self._truncated = np.zeros(len(self.texts), np.bool_)
        self._tokens: NDArray[np.int64] | None = np.zeros(len(self.texts), np.int64)

    @property
    def over(self) -> bool:
        """Say whether nobody waits for these texts any more."""
        return self.done.done()

    def deliver(self, positions: NDArray[np.intp], part: Embedded) -> None:
        """Take the vectors of the texts at `positions`, each text once; finish with the last."""
        if self.over:
            return
        if self._vectors is None:
            self._vectors = np.empty((len(self.texts), part.vectors.shape[1]), np.float32)
        self._vectors[positions] = part.vectors
        self._truncated[positions] = part.truncated
        if part.tokens is None:
            self._tokens = None
        elif self._tokens is not None:
            self._tokens[positions] = part.tokens
        self._missing -= len(positions)
        # False when the caller cancelled in this very moment.
        if self._missing == 0 and self.done.set_running_or_notify_cancel():
            self.done.set_result(Embedded(self._vectors, self._truncated, self._tokens))

    def fail(self, error: Exception) -> None:
        """End the request with an error; one that is over already stays as it is."""
        if not self.over and self.done.set_running_or_notify_cancel():
            self.done.set_exception(error)
