"""The texts that are embedded for rows: the row's own, or those of the chunks that it is cut in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.chunking.split import AT
from semilayer_pipelines.errors import IndexDamaged
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.stores.chunks.objects import ROW, stored_hashes
from semilayer_pipelines.stores.chunks.protocol import END, FIELD, ORDINAL, START, RowIndex
from semilayer_pipelines.stores.chunks.versions import turned
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = ["PLACE", "Texts", "chunks_of", "cut_as_now", "cut_otherwise", "texts_of", "texts_seen"]

logger = logging.getLogger(__name__)

PIECES = {
    ROW: pl.UInt32(),
    ORDINAL: pl.UInt32(),
    FIELD: pl.String(),
    START: pl.UInt32(),
    END: pl.UInt32(),
    TEXT: pl.String(),
    TEXT_HASH: pl.Binary(),
}
"""Columns of the chunks of rows; ROW is the position of the row."""

PLACE = (FIELD, START, END)
"""Where a chunk is in its row; null for the text of a whole row."""


@dataclass(frozen=True)
class Texts:
    """Texts in the order of their rows.

    `frame` has KEY, TEXT_HASH and TEXT and, where rows are cut (`are_cut`), ROW (UInt32, the
    position of the row) and `PLACE`.
    """

    frame: pl.DataFrame
    are_cut: bool = False

    def rows(self) -> NDArray[np.int64]:
        """Return the positions of the texts' rows, ascending."""
        if not self.are_cut:
            return np.arange(self.frame.height)
        return self.frame[ROW].cast(pl.Int64).to_numpy()


def texts_of(
    opened: OpenLens,
    rows: pl.DataFrame,
    have: RowIndex | None = None,
    may_have: pl.Series | None = None,
) -> Texts:
    """Return the texts that are embedded for mapped rows.

    Rows that are cut in `have` stay so where nobody can tell how to cut them: TEXT of their chunks
    is null, their vectors are those of `have`. `may_have` says which rows may have such vectors.
    """
    pieces = chunks_of(opened, rows)
    if have is not None and may_have is not None and may_have.any() and opened.cannot_cut:
        pieces = kept_chunks(rows, have, may_have)
    if not pieces.height:
        return _whole(rows)
    whole = rows.select(KEY, TEXT_HASH, TEXT).with_row_index(ROW)
    whole = whole.filter(~pl.col(ROW).is_in(pieces[ROW].implode()))
    cut = pieces.with_columns(rows[KEY].gather(pieces[ROW])).drop(ORDINAL)
    frame = pl.concat([whole, cut], how="diagonal")
    # Stable: the chunks of a row stay in their order.
    return Texts(frame.sort(ROW, maintain_order=True), are_cut=True)


def texts_seen(opened: OpenLens, rows: pl.DataFrame) -> Texts:
    """Return the same texts to somebody who only looks: whole, while nobody tells how to cut."""
    return texts_of(opened, rows) if opened.knows_cuts else _whole(rows)


def _whole(rows: pl.DataFrame) -> Texts:
    return Texts(rows.select(KEY, TEXT_HASH, TEXT))


def chunks_of(opened: OpenLens, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the chunks of those mapped rows that are cut: ROW, ORDINAL, PLACE, TEXT, TEXT_HASH."""
    none = pl.DataFrame(schema=PIECES)
    # In this order: a run that writes nothing reads no tokenizer.
    if not rows.height or (splitter := opened.splitter) is None:
        return none
    long = splitter.may_exceed(rows[TEXT]).arg_true()
    if not len(long):
        return none
    found = splitter.split(rows[long])
    return found.select(
        long.gather(found[AT]).cast(pl.UInt32).alias(ROW),
        ORDINAL,
        *PLACE,
        TEXT,
        opened.mapping.text_hashes(found[TEXT]).alias(TEXT_HASH),
    )


def kept_chunks(rows: pl.DataFrame, have: RowIndex, may_have: pl.Series) -> pl.DataFrame:
    """Return the chunks (PIECES, TEXT null) that rows of an unchanged text have, all and sound."""
    if not have.cuts:
        return pl.DataFrame(schema=PIECES)
    asked = rows.select(KEY, TEXT_HASH).with_row_index(ROW).filter(may_have)
    try:
        objects = have.fetch(asked[KEY].to_list(), vectors=False)
        same = asked.join(objects.unique(KEY, keep="none"), on=[KEY, TEXT_HASH], how="semi")
        chunks = have.chunks_of(same[KEY].to_list())
        held = have.held(same[KEY].to_list())
    except IndexDamaged as error:
        # A rebuild is what mends it, so it must not fail on the index that it replaces.
        logger.warning("%s Rows that were cut are written whole.", error.message)
        return pl.DataFrame(schema=PIECES)
    usable = chunks.join(held, on=[KEY, TEXT_HASH], how="semi")
    lacking = chunks.join(usable, on=[KEY, ORDINAL], how="anti")[KEY]
    found = same.select(ROW, KEY).join(
        chunks.filter(~pl.col(KEY).is_in(lacking.implode())), on=KEY, maintain_order="left"
    )
    pieces = found.with_columns(pl.lit(None).alias(TEXT))
    return pieces.select(pl.col(name).cast(kind) for name, kind in PIECES.items()).sort(
        ROW, ORDINAL
    )


def cut_as_now(opened: OpenLens, rows: pl.DataFrame, index: RowIndex) -> pl.Series:
    """Say (Boolean) of which mapped rows the objects tell that they are cut as they would be now.

    A row without an object, or whose object is of other values, is not among them. Where it is not
    known how texts are cut, the way in which a row is cut is taken for the one.
    """
    if not opened.knows_cuts:
        whole = index.fetch(rows[KEY].to_list(), vectors=False)
        same = rows.join(whole, on=[KEY, ROW_HASH, TEXT_HASH], how="semi")
        return rows[KEY].is_in(same[KEY].implode())
    pieces = chunks_of(opened, rows)
    expected = rows.select(KEY, ROW_HASH, TEXT_HASH)
    known = [expected]
    if pieces.height:
        at = pieces[ROW].unique(maintain_order=True)
        whole = expected.with_row_index(ROW).filter(~pl.col(ROW).is_in(at.implode())).drop(ROW)
        known = [whole, *_either_way(expected[at], pieces)]
    objects = index.stored(rows[KEY].to_list())
    fitting = pl.concat(known).join(objects, on=[KEY, ROW_HASH, TEXT_HASH], how="semi")
    return rows[KEY].is_in(fitting[KEY].implode())


def cut_otherwise(opened: OpenLens, rows: pl.DataFrame, index: RowIndex) -> pl.Series:
    """Say (Boolean) which mapped rows, whose objects are theirs, are not cut as they would be.

    None is where it is not known how texts are cut.
    """
    if not opened.knows_cuts:
        return pl.repeat(False, rows.height, eager=True)
    if index.cuts:
        return ~cut_as_now(opened, rows, index)
    pieces = chunks_of(opened, rows)
    positions = pl.int_range(rows.height, dtype=pl.UInt32, eager=True)
    return positions.is_in(pieces[ROW].implode())


def _either_way(cut: pl.DataFrame, pieces: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield what is stored of rows that are cut this way: at first, and when written again."""
    numbered = pieces.with_columns(pl.col(ROW).rle_id().alias(ROW))
    for hashes in (cut[ROW_HASH], turned(cut[ROW_HASH])):
        yield cut.with_columns(stored_hashes(cut.with_columns(hashes), numbered))
