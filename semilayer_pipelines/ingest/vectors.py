"""A vector for every text of the rows that are written: kept where it is the same, else embedded.

A row whose text is cut has one for each of its chunks. One that is rejected sets its row aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.errors import IndexDamaged, StoreUnavailable
from semilayer_pipelines.ingest.decision import kept_vectors
from semilayer_pipelines.ingest.embed_aside import Embed, Embedding
from semilayer_pipelines.ingest.texts import PLACE, Texts
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.chunks.objects import ROW
from semilayer_pipelines.stores.chunks.protocol import CHUNKS, RowIndex
from semilayer_pipelines.stores.protocol import KEY, TEXT_HASH, VECTOR

__all__ = ["PendingVectors", "Vectorised", "begin_vectors"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vectorised:
    """The changed rows that have a vector now, and what became of the others.

    `rows` has the mapped columns without the text, plus VECTOR and, where some are cut, CHUNKS;
    `at` are their positions in the frame that came in; `rejected` maps the keys of the rest to the
    reason. `embedded` and `reused` count vectors. `tokens`, `seconds` and `by` tell what embedding
    took and what did it.
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
    """Vectors for the rows of `changed`, some taken over, the others being embedded.

    `taken` are the vectors of the texts at the positions `taken_at`, ascending; those at `missing`
    are under way in `embedding`.
    """

    changed: pl.DataFrame
    texts: Texts
    taken_at: NDArray[np.int64]
    taken: NDArray[np.float32]
    missing: NDArray[np.int64]
    embedding: Embedding

    def result(self, paused: Callable[[], bool]) -> Vectorised:
        """Wait for the vectors that are being embedded, unless the lens is `paused`.

        Raises `DimensionChanged` when a model changed its dimension under an unchanged name, and
        what `Embedding.result` raises.
        """
        page = self.embedding.result(paused)
        embedded_at = self.missing[page.kept]
        if len(self.taken) and len(page.vectors):
            require_dimension(
                page.vectors.shape[1],
                self.taken.shape[1],
                holder="those indexed under the same name have",
                cure="Name the revision of the model in the lens and rebuild it.",
            )
        at, vectors = _in_order(self.taken_at, self.taken, embedded_at, page.vectors)
        of = self.texts.rows()
        rejected = {int(of[self.missing[i]]): reason for i, reason in page.rejected.items()}
        kept, rows = _with_vectors(self.changed, self.texts, at, vectors, [*rejected])
        keys = self.changed[KEY]
        return Vectorised(
            rows=rows,
            at=kept,
            dimension=vectors.shape[1],
            embedded=len(embedded_at),
            reused=len(self.taken_at),
            truncated=page.truncated,
            rejected={keys[row]: reason for row, reason in rejected.items()},
            tokens=page.tokens,
            seconds=page.seconds,
            by=page.by,
        )


def begin_vectors(
    embed: Embed,
    changed: pl.DataFrame,
    texts: Texts,
    have: RowIndex | None,
    may_have: pl.Series,
) -> PendingVectors:
    """Give each text of the rows of `changed` its vector, from `have` where that holds the same.

    The others are asked of `embed` at once. `may_have` says for which rows looking into `have` is
    worth it. Raises `StoreUnavailable` when chunks that are kept as they are have no vector there.
    """
    asked = may_have.gather(texts.rows()) if texts.are_cut else may_have
    taken_at, taken = _taken_over(texts.frame, have, asked)
    missing = np.setdiff1d(np.arange(texts.frame.height), taken_at, assume_unique=True)
    wanted = texts.frame[TEXT].gather(missing)
    if wanted.null_count():
        # Another writer replaced a row between two looks at its chunks.
        raise StoreUnavailable(
            "Chunks were replaced while they were read.", cure="The run is tried again."
        )
    embedding = embed(wanted.to_list())
    return PendingVectors(changed, texts, taken_at, taken, missing, embedding)


def _with_vectors(
    changed: pl.DataFrame,
    texts: Texts,
    at: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rejected: Sequence[int],
) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """Return the positions of the rows that have all their vectors, and these rows with them.

    `vectors` are those of the texts at the positions `at`.
    """
    rows = changed.drop(TEXT)
    if not texts.are_cut:
        if len(at) < changed.height:
            rows = rows[at]
        return at, rows.with_columns(_column(vectors)) if len(at) else rows
    of = texts.rows()[at]
    whole = ~np.isin(of, rejected)
    if not whole.all():
        at, vectors, of = at[whole], vectors[whole], of[whole]
    kept, first = np.unique(of, return_index=True)
    rows = rows[kept]
    if not len(at):
        return kept, rows
    pieces = texts.frame.select(ROW, TEXT_HASH, *PLACE)[at].with_columns(_column(vectors))
    lists = (
        pieces.drop_nulls(PLACE[0])
        .group_by(ROW, maintain_order=True)
        .agg(pl.struct(TEXT_HASH, *PLACE, VECTOR).alias(CHUNKS))
    )
    listed = pl.DataFrame({ROW: kept}, schema={ROW: pl.UInt32}).join(
        lists, on=ROW, how="left", maintain_order="left"
    )
    return kept, rows.with_columns(_column(vectors[first]), listed[CHUNKS])


def _column(vectors: NDArray[np.float32]) -> pl.Series:
    return pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))


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
    texts: pl.DataFrame, have: RowIndex | None, may_have: pl.Series
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions of the texts that keep a vector, ascending, and the vectors."""
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
    asked = texts.select(KEY, TEXT_HASH).with_row_index("at").filter(may_have)
    if have is None or not asked.height:
        return nothing
    try:
        found = have.held(asked[KEY].unique(maintain_order=True).to_list())
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
