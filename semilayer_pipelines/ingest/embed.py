"""Embedding a page so that one poison row costs one row.

A call that the embedder rejects is halved until the row at fault is alone; that row gets three
tries and is then set aside with its reason (invariant 8). Many at once mean that the embedder is at
fault, not the rows. One that rejects whatever it gets is found out after some calls: it is given a
plain word, which no embedder that works can reject.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.errors import EmbeddingRejected, ModelUnavailable, TooManyFailures

__all__ = ["MAX_TRIES", "Embed", "EmbeddedPage", "embed_now", "embed_page"]

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


class Embed(Protocol):
    """Begins to embed the texts of a page, or of several `pages`."""

    def __call__(self, texts: Sequence[str], *, pages: int = 1) -> Future[EmbeddedPage]:
        """Return what will hold the vectors."""
        ...


def embed_now(embedder: Embedder, texts: Sequence[str], *, pages: int = 1) -> Future[EmbeddedPage]:
    """Embed the texts of a page at once, on the caller's thread.

    As with a page that is embedded aside, an error waits in the future.
    """
    done: Future[EmbeddedPage] = Future()
    try:
        done.set_result(embed_page(embedder, texts, pages=pages))
    except Exception as error:  # noqa: BLE001 - raised where the vectors are asked for
        done.set_exception(error)
    return done


def embed_page(embedder: Embedder, texts: Sequence[str], *, pages: int = 1) -> EmbeddedPage:
    """Embed the texts of a page; set aside what the embedder rejects.

    Raises `TooManyFailures` beyond 20 rows a page or 5 % of the texts, whichever is more,
    `ModelUnavailable` when it rejects whatever it gets, and whatever else the embedder raises.
    """
    started = time.monotonic()
    limit = max(MAX_REJECTED_ROWS * pages, int(len(texts) * MAX_REJECTED_SHARE))
    done: list[tuple[int, Embedded]] = []
    rejected: dict[int, str] = {}
    pending = [(0, len(texts), 1)] if texts else []
    alone: set[int] = set()
    asked, tokens = False, 0
    while pending:
        if not (done or asked) and len(alone) >= SUSPECT_ROWS:
            _require_a_working(embedder)
            asked = True
        start, stop, tries = pending.pop()
        try:
            made = embedder.embed(texts[start:stop])
            done.append((start, made))
            tokens += _tokens_read(texts[start:stop], made)
        except EmbeddingRejected as error:
            if stop - start > 1:
                pending += _split(start, stop, error.positions)
            elif tries < MAX_TRIES and not asked:
                alone.add(start)
                # Last: the others show first whether it is the row.
                pending.insert(0, (start, stop, tries + 1))
            else:
                if not (done or asked):
                    _require_a_working(embedder)
                    asked = True
                rejected[start] = error.message
        if len(rejected) > limit:
            raise TooManyFailures(
                f"The embedder rejected {len(rejected)} rows of one page of {len(texts)}; "
                f"the last one: {next(reversed(rejected.values()))}",
                cure="Check the model and its endpoint, then resume the lens.",
            )
    return _assemble(done, rejected, tokens, time.monotonic() - started)


def _tokens_read(texts: Sequence[str], made: Embedded) -> int:
    """Return how many tokens the embedder read; equal texts are embedded, and paid for, once."""
    if made.tokens is None:
        return 0
    places = list({text: at for at, text in enumerate(texts)}.values())
    return int(made.tokens[places].sum())


def _require_a_working(embedder: Embedder) -> None:
    """Raise `ModelUnavailable` when an embedder rejects even a plain word."""
    try:
        embedder.embed([PLAIN_TEXT])
    except EmbeddingRejected as error:
        raise ModelUnavailable(
            f"The embedder rejects every text, also a plain word: {error.message}",
            cure="Check the model and its endpoint; it is tried again.",
        ) from error


def _split(start: int, stop: int, positions: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return what to try instead of a call that was rejected, each part for the first time.

    Where the embedder names the texts at fault, only these are tried alone.
    """
    cuts = {start, stop, *((start + at + side) for at in positions for side in (0, 1))}
    if len(cuts) == 2:
        cuts.add((start + stop) // 2)
    edges = sorted(cuts)
    return [(a, b, 1) for a, b in pairwise(edges)]


def _assemble(
    done: list[tuple[int, Embedded]], rejected: dict[int, str], tokens: int, seconds: float
) -> EmbeddedPage:
    done.sort(key=lambda part: part[0])
    kept = [np.arange(start, start + len(part.vectors)) for start, part in done]
    vectors = [part.vectors for _, part in done] or [np.zeros((0, 0), dtype=np.float32)]
    return EmbeddedPage(
        kept=np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64),
        # Nearly every page has one part: its vectors are megabytes, and not copied once more.
        vectors=vectors[0] if len(vectors) == 1 else np.concatenate(vectors),
        truncated=sum(int(part.truncated.sum()) for _, part in done),
        rejected=rejected,
        tokens=tokens,
        seconds=seconds,
        by=next((part.by for _, part in done), None),
    )
