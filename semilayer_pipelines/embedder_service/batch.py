"""Embeds one batch of texts of many requests; a poison text fails only its own request.

A batch that the model rejects is halved until the text at fault is alone; only the request that
sent it fails. The worker that calls this must survive whatever the model raises.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from semilayer_pipelines.embedder_service.pending import PendingRequest
from semilayer_pipelines.embedder_service.queue import Taken
from semilayer_pipelines.embedders.protocol import Embedded, PromptedEmbedder
from semilayer_pipelines.errors import EmbeddingRejected

__all__ = ["BatchCounts", "embed_batch"]

logger = logging.getLogger(__name__)

_Part = list[tuple[PendingRequest, int]]  # a request, and the position of one of its texts


@dataclass(frozen=True)
class BatchCounts:
    """What became of a batch: calls of the model, and texts by what happened to them."""

    calls: int = 0
    embedded: int = 0
    truncated: int = 0
    tokens: int = 0
    rejected: int = 0

    def and_done(self, done: Embedded) -> BatchCounts:
        """Add a call that succeeded."""
        return BatchCounts(
            self.calls + 1,
            self.embedded + len(done.vectors),
            self.truncated + int(done.truncated.sum()),
            self.tokens + (0 if done.tokens is None else int(done.tokens.sum())),
            self.rejected,
        )

    def and_rejected(self, texts: int) -> BatchCounts:
        """Add a call that failed, and how many texts are known to be at fault for it."""
        return BatchCounts(
            self.calls + 1, self.embedded, self.truncated, self.tokens, self.rejected + texts
        )


def embed_batch(embedder: PromptedEmbedder, taken: Taken) -> BatchCounts:
    """Embed the texts and deliver to each request what is its own; a call a prompt.

    Raises nothing: an error ends the requests that it concerns.
    """
    counts = BatchCounts()
    parts = _by_prompt(taken)
    while parts:
        # A request that failed or whose caller hung up costs nothing more.
        part = [(request, position) for request, position in parts.pop() if not request.over]
        if not part:
            continue
        texts = [request.texts[position] for request, position in part]
        try:
            done = embedder.embed_behind(part[0][0].prompt, texts)
        except EmbeddingRejected as error:
            if len(part) == 1:
                _reject(part, error)
                counts = counts.and_rejected(1)
            else:
                counts = counts.and_rejected(0)
                parts += _split(part, error)
        # The embedder's own errors, a driver's, a bug's: the requests fail, the service goes on.
        except Exception as error:
            logger.exception("a batch of %d texts failed", len(part))
            counts = counts.and_rejected(0)
            for request, _ in part:
                request.fail(error)
        else:
            _deliver(part, done)
            counts = counts.and_done(done)
    return counts


def _by_prompt(taken: Taken) -> list[_Part]:
    parts: defaultdict[str | None, _Part] = defaultdict(list)
    for request, text in zip(taken.owners, taken.texts, strict=True):
        parts[request.prompt].append((request, text.position))
    return list(parts.values())


def _split(part: _Part, error: EmbeddingRejected) -> list[_Part]:
    """Return what to try instead: the texts that are named each alone, else two halves."""
    named = set(error.positions)
    if named:
        rest = [item for at, item in enumerate(part) if at not in named]
        return [rest, *([part[at]] for at in sorted(named, reverse=True))]
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _reject(part: _Part, error: EmbeddingRejected) -> None:
    [(request, position)] = part
    told = EmbeddingRejected(
        f"The text at position {position} cannot be embedded: {error.message}",
        cure=error.cure,
        positions=(position,),
    )
    told.__cause__ = error
    request.fail(told)


def _deliver(part: _Part, done: Embedded) -> None:
    places: defaultdict[PendingRequest, list[tuple[int, int]]] = defaultdict(list)
    # Neighbours in a batch belong to different requests; there is nothing to vectorise.
    for row, (request, position) in enumerate(part):
        places[request].append((position, row))
    for request, pairs in places.items():
        positions, rows = np.array(pairs, dtype=np.intp).T
        tokens = None if done.tokens is None else done.tokens[rows]
        request.deliver(positions, Embedded(done.vectors[rows], done.truncated[rows], tokens))
