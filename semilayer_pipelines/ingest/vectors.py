"""A vector for every row that is written: kept where the text is the same, embedded elsewhere."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.errors import IndexDamaged
from semilayer_pipelines.ingest.decision import kept_vectors
from semilayer_pipelines.ingest.embed import Embed, EmbeddedPage
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.protocol import KEY, TEXT_HASH, VECTOR, Index

__all__ = ["PendingVectors", "Vectorised", "begin_vectors"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vectorised:
    """The changed rows that have a vector now, and what became of the others.

    `rows` has the mapped columns without the text, plus VECTOR; `at` are their positions in the
    frame that came in; `rejected` maps the keys of the rest to the reason. `tokens`, `seconds` and
    `by` tell what embedding took and what did it.
    """

    rows: pl.DataFrame
    at: NDArray[np.int64]
    dimension: int
    embedded: int
    reused: int
    truncated: int
    rejected: dict[str, str]
    tokens: int
    seconds: float
    by: Backend | None


@dataclass(frozen=True)
class PendingVectors:
    """Vectors of the rows of `changed`, some taken over, the others being embedded.

    `taken` are the vectors of the rows at the positions `taken_at`, ascending; the rows at
    `missing` have their texts under way in `embedding`.
    """

    changed: pl.DataFrame
    taken_at: NDArray[np.int64]
    taken: NDArray[np.float32]
    missing: NDArray[np.int64]
    embedding: Future[EmbeddedPage]

    def result(self) -> Vectorised:
        """Wait for the vectors that are being embedded.

        Raises `DimensionChanged` when a model changed its dimension under an unchanged name, and
        what `embed_page` raises.
        """
        return _vectorised(
            self.changed, self.taken_at, self.taken, self.missing, self.embedding.result()
        )


def begin_vectors(
    embed: Embed, changed: pl.DataFrame, have: Index | None, may_have: pl.Series
) -> PendingVectors:
    """Give every row of `changed` its vector, from `have` where that holds the same text.

    The others are asked of `embed` at once. `may_have` says for which rows looking into `have` is
    worth it.
    """
    taken_at, taken = _taken_over(changed, have, may_have)
    missing = np.setdiff1d(np.arange(changed.height), taken_at, assume_unique=True)
    texts = changed[TEXT].gather(missing).to_list()
    return PendingVectors(changed, taken_at, taken, missing, embed(texts))


def _vectorised(
    changed: pl.DataFrame,
    taken_at: NDArray[np.int64],
    taken: NDArray[np.float32],
    missing: NDArray[np.int64],
    page: EmbeddedPage,
) -> Vectorised:
    embedded_at = missing[page.kept]
    if len(taken) and len(page.vectors):
        require_dimension(
            page.vectors.shape[1],
            taken.shape[1],
            holder="those indexed under the same name have",
            cure="Name the revision of the model in the lens and rebuild it.",
        )
    at, vectors = _in_order(taken_at, taken, embedded_at, page.vectors)
    dimension = vectors.shape[1]
    rows = changed.drop(TEXT)
    if len(at) < changed.height:
        rows = rows[at]
    if len(at):
        column = pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, dimension))
        rows = rows.with_columns(column)
    keys = changed[KEY]
    return Vectorised(
        rows=rows,
        at=at,
        dimension=dimension,
        embedded=len(embedded_at),
        reused=len(taken_at),
        truncated=page.truncated,
        rejected={keys[int(missing[i])]: reason for i, reason in page.rejected.items()},
        tokens=page.tokens,
        seconds=page.seconds,
        by=page.by,
    )


def _in_order(
    taken_at: NDArray[np.int64],
    taken: NDArray[np.float32],
    embedded_at: NDArray[np.int64],
    embedded: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Merge two ascending lists of positions with their vectors, which are copied once at most."""
    if not len(embedded_at):
        return taken_at, taken
    if not len(taken_at):
        return embedded_at, embedded
    at = np.sort(np.concatenate([taken_at, embedded_at]))
    vectors = np.empty((len(at), embedded.shape[1]), dtype=np.float32)
    vectors[np.searchsorted(at, taken_at)] = taken
    vectors[np.searchsorted(at, embedded_at)] = embedded
    return at, vectors


def _taken_over(
    changed: pl.DataFrame, have: Index | None, may_have: pl.Series
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions of the rows that keep a vector, ascending, and the vectors."""
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
    asked = changed.select(KEY, TEXT_HASH).with_row_index("at").filter(may_have)
    if have is None or not asked.height:
        return nothing
    try:
        found = have.fetch(asked[KEY].to_list())
    except IndexDamaged as error:
        # A rebuild is what mends it, so it must not fail on the index that it replaces.
        logger.warning("%s These texts are embedded again.", error.message)
        return nothing
    # Matched without the vectors, which are then copied once and not at every step.
    matches = kept_vectors(asked, found)
    if not matches.height:
        return nothing
    vectors = found[VECTOR].gather(matches["of"]).to_numpy()
    return matches["at"].cast(pl.Int64).to_numpy(), vectors
