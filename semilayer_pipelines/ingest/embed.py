"""Embedding a page so that one poison row costs one row.

A call that the embedder rejects is halved until the row at fault is alone; that row gets three
tries and is then set aside with its reason (invariant 8). Many at once mean that the embedder is at
fault, not the rows. One that rejects whatever it gets is found out after some calls: it is given a
plain word, which no embedder that works can reject.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.protocol import Embedded, Embedder, PartlyEmbedded
from semilayer_pipelines.errors import EmbeddingRejected, ModelUnavailable, TooManyFailures

__all__ = ["MAX_TRIES", "EmbeddedPage", "embed_page"]

MAX_TRIES = 3
"""A text that the embedder rejects when it is alone is set aside after so many tries."""

SUSPECT_ROWS = 3
"""So many rows rejected alone, and none embedded so far, raise the question who is at fault."""

PLAIN_TEXT = "word"

MAX_REJECTED_ROWS = 20
"""Rejected rows of one page beyond which the job fails: the embedder is at fault then."""

MAX_REJECTED_SHARE = 0.05
"""The same as a share of the page; the larger of the two counts."""


@dataclass(frozen=True)
class _Part:
    """The texts at some places of a page, embedded."""

    at: NDArray[np.intp]
    made: Embedded


@dataclass(frozen=True)
class EmbeddedPage:
    """Vectors of the texts at `kept` (positions, ascending), and the reasons of the others.

    `seconds` is how long the embedder worked, `by` what it ran on, where it says so.
    """

    kept: NDArray[np.int64]
    vectors: NDArray[np.float32]
    truncated: int
    rejected: dict[int, str]
    tokens: int
    seconds: float
    by: Backend | None


def embed_page(embedder: Embedder, texts: Sequence[str], *, pages: int = 1) -> EmbeddedPage:
    """Embed the texts of a page; set aside what the embedder rejects.

    Raises `TooManyFailures` beyond 20 rows a page or 5 % of the texts, whichever is more,
    `ModelUnavailable` when it rejects whatever it gets, and whatever else the embedder raises.
    """
    started = time.monotonic()
    limit = max(MAX_REJECTED_ROWS * pages, int(len(texts) * MAX_REJECTED_SHARE))
    done: list[_Part] = []
    rejected: dict[int, str] = {}
    pending = [(np.arange(len(texts)), 1)] if texts else []
    alone: set[int] = set()
    asked = False
    while pending:
        if not (done or asked) and len(alone) >= SUSPECT_ROWS:
            _require_a_working(embedder)
            asked = True
        at, tries = pending.pop()
        asking = [texts[place] for place in at.tolist()]
        try:
            done.append(_Part(at, embedder.embed(asking)))
        except PartlyEmbedded as error:
            done.append(_Part(at[list(error.kept)], error.made))
            pending += _split(at, error.positions, without=error.kept)
        except EmbeddingRejected as error:
            only = int(at[0])
            if len(at) > 1:
                pending += _split(at, error.positions)
            elif tries < MAX_TRIES and not asked:
                alone.add(only)
                # Last: the others show first whether it is the row.
                pending.insert(0, (at, tries + 1))
            else:
                if not (done or asked):
                    _require_a_working(embedder)
                    asked = True
                rejected[only] = error.message
        if len(rejected) > limit:
            raise TooManyFailures(
                f"The embedder rejected {len(rejected)} rows of one page of {len(texts)}; "
                f"the last one: {next(reversed(rejected.values()))}",
                cure="Check the model and its endpoint, then resume the lens.",
            )
    tokens = sum(_tokens_read(texts, part) for part in done)
    return _assemble(done, rejected, tokens, time.monotonic() - started)


def _tokens_read(texts: Sequence[str], part: _Part) -> int:
    """Return how many tokens the embedder read; equal texts are embedded, and paid for, once."""
    if part.made.tokens is None:
        return 0
    places = list({texts[place]: n for n, place in enumerate(part.at.tolist())}.values())
    return int(part.made.tokens[places].sum())


def _require_a_working(embedder: Embedder) -> None:
    """Raise `ModelUnavailable` when an embedder rejects even a plain word."""
    try:
        embedder.embed([PLAIN_TEXT])
    except EmbeddingRejected as error:
        raise ModelUnavailable(
            f"The embedder rejects every text, also a plain word: {error.message}",
            cure="Check the model and its endpoint; it is tried again.",
        ) from error


def _split(
    at: NDArray[np.intp], positions: Sequence[int], *, without: Sequence[int] = ()
) -> list[tuple[NDArray[np.intp], int]]:
    """Return what to try instead of a call that was rejected, each part for the first time.

    Where the embedder names the texts at fault, by `positions` in the call, only these are tried
    alone. Those `without` need not be tried again.
    """
    if not (positions or without):
        return [(half, 1) for half in np.array_split(at, 2)]
    others = np.delete(at, [*positions, *without])
    # Where nobody knows which of them it is, and the others are embedded, it may be any.
    rest = [others] if positions or len(others) == 1 else np.array_split(others, 2)
    parts = [*(at[[place]] for place in positions), *rest]
    return [(part, 1) for part in parts if len(part)]


def _assemble(
    done: list[_Part], rejected: dict[int, str], tokens: int, seconds: float
) -> EmbeddedPage:
    kept = np.concatenate([part.at for part in done]) if done else np.zeros(0, dtype=np.int64)
    vectors = [part.made.vectors for part in done] or [np.zeros((0, 0), dtype=np.float32)]
    # Nearly every page has one part: its vectors are megabytes, and not copied once more.
    together = vectors[0] if len(vectors) == 1 else np.concatenate(vectors)[np.argsort(kept)]
    return EmbeddedPage(
        kept=np.sort(kept),
        vectors=together,
        truncated=sum(int(part.made.truncated.sum()) for part in done),
        rejected=rejected,
        tokens=tokens,
        seconds=seconds,
        by=next((part.made.by for part in done), None),
    )
