"""Which rows of the source a reconciliation reads: all of them, or those that nothing proves.

Whoever chooses tells `KnownRows` what it did not read and the source has all the same. What was
read and what was proven is kept for the next smart sync, where somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import polars as pl

from semilayer_pipelines.bridges.protocol import KEY_HASH
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.kept_rows import KEPT_SCHEMA, NewKept
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.walk import shard_window, walk
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = ["ChosenRows", "EveryRow", "seen_rows"]


class ChosenRows(Protocol):
    """The pages that are compared with the index; a row is on one of them at most.

    `proven` counts the rows that the source has and that no page showed.
    """

    proven: Counts

    def pages(self, opened: OpenLens, known: KnownRows, page_size: PageSize) -> Iterator[Page]:
        """Read the pages; `known` is what the index had before, and is told of proven rows."""
        ...

    def saw(self, opened: OpenLens, page: Page, mapped: Mapped) -> None:
        """Take note of a page that was mapped."""
        ...


@dataclass
class EveryRow:
    """Every row of these shards, whose upper keys but the last are `bounds`.

    `kept` takes what the pages show, where somebody asks for that, `hashed` with the database's own
    hashes of the keys.
    """

    bounds: tuple[str, ...]
    shards: Sequence[int]
    kept: NewKept | None = None
    hashed: bool = False
    proven: Counts = field(default_factory=Counts)

    @classmethod
    def of(cls, generation: Generation, shard: int | None) -> EveryRow:
        """Choose all rows of a generation, or those of one shard.

        A lens may ask for more shards than its index has: such a shard has no rows.
        """
        shards = [one for one in range(generation.shard_count) if shard in (None, one)]
        return cls(generation.bounds, shards)

    def pages(self, opened: OpenLens, known: KnownRows, page_size: PageSize) -> Iterator[Page]:
        """Walk the shards one after the other."""
        opened = replace(opened, selection=replace(opened.selection, hashed=self.hashed))
        for shard in self.shards:
            yield from walk(opened, shard_window(self.bounds, shard), shard, page_size)

    def saw(self, opened: OpenLens, page: Page, mapped: Mapped) -> None:
        """Keep what the page showed."""
        if self.kept is not None:
            self.kept.add(seen_rows(opened, page, mapped))


def seen_rows(opened: OpenLens, page: Page, mapped: Mapped) -> pl.DataFrame:
    """Return what a page showed (`KEPT_SCHEMA`).

    Where the source gave its own hashes of the keys, rows that cannot be mapped are among them.
    """
    textless = mapped.textless.select(KEY, ROW_HASH, pl.lit(None, pl.Binary).alias(TEXT_HASH))
    hashes = pl.concat([mapped.frame.select(KEY, ROW_HASH, TEXT_HASH), textless])
    if KEY_HASH not in page.rows.columns:
        return hashes.with_columns(pl.lit(None, pl.Int64).alias(KEY_HASH))
    keys = key_texts(page.rows, opened.selection.key).alias(KEY)
    if keys.equals(hashes[KEY]):
        # As on nearly every page: nothing is to be matched where all rows were mapped.
        return hashes.with_columns(page.rows[KEY_HASH]).select(KEPT_SCHEMA.names())
    named = pl.DataFrame([keys, page.rows[KEY_HASH]]).unique(KEY, keep="last")
    return named.join(hashes, on=KEY, how="left").select(KEPT_SCHEMA.names())
