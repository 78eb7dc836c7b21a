"""A page of source rows, and what the modes of ingest differ in.

A mode only chooses rows: it reads pages and answers the questions of `RowChoice`. Everything
else that happens to a page is `apply_page`'s, by the table of `decision`, and the same for all
modes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.stores.chunks.protocol import RowIndex

__all__ = ["Cover", "Page", "RowChoice"]


@dataclass(frozen=True)
class Page:
    """Source rows, the shard they are of, and the point in the change log at which they were read.

    `shard` is `None` when the rows carry their shard in a column. `started` is a monotonic time.
    `cursor` is where its walk goes on, `None` after the last page; `last` is the position of the
    last row in a walk by tracked value. `refused` are the keys of rows that are there and that the
    source cannot read, and why. `outside` are the keys of rows that the lens's `where` leaves out.
    """

    rows: pl.DataFrame
    shard: int | None
    change_seq: int
    started: float
    cursor: str | None = None
    last: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """How many rows the source has here, whether they can be read or not."""
        return self.rows.height + len(self.refused)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do for it."""
        return not self.height and not self.outside


Cover = Callable[[Connection, Page, Counts], None]
"""Commits what covers a page that is written, in the transaction that ends the page."""


class RowChoice(Protocol):
    """What a mode decides about its pages; asked in their order, for one walk."""

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        """Say what the index has of the mapped rows of a page: a Series of `Indexed`."""
        ...

    def may_hold(self, keys: pl.Series) -> pl.Series:
        """Say for which of these keys the index can have an object; Boolean."""
        ...

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Return which of these objects leave with the page, as their rows must not be found.

        Raises `GuardStopped` where they are too many to go unasked.
        """
        ...

    def reuse_from(self) -> RowIndex | None:
        """Return the index whose vectors are taken over where the text is the same."""
        ...

    @property
    def cover(self) -> Cover | None:
        """Return what commits that a page is done, such as a cursor; `None` for nothing."""
        ...
