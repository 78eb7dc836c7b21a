"""One page of a SQLite file: the driver's Arrow table, and the frame and the cursor made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import pyarrow as pa

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Fetched, Query, SourceColumn
from semilayer_pipelines.bridges.sqlite_types import fitted, revived, typed
from semilayer_pipelines.bridges.unfit import unfit_name
from semilayer_pipelines.errors import SourceRefused

__all__ = ["SqlitePage"]


@dataclass(frozen=True)
class SqlitePage:
    """The answer to a statement: an Arrow column for each of `columns`, two for those in `apart`.

    Those are the values that fit and the texts of the others. Behind them come the computed columns
    of the query, and type and text of each of the `retyped` cursor columns.
    """

    table: pa.Table
    columns: Sequence[SourceColumn]
    apart: AbstractSet[str]
    retyped: Sequence[SourceColumn]

    @cached_property
    def _whole(self) -> dict[str, pl.Series | None]:
        """The columns that are not told apart; `None` where some value may not fit."""
        return {
            column.column.name: fitted(column, self.table.column(at))
            for column, at in self._places()
            if column.column.name not in self.apart
        }

    def unfit(self) -> list[str]:
        """Return the columns of which some value may not fit."""
        return [name for name, series in self._whole.items() if series is None]

    def fetched(self, query: Query, source: str, *, cut: bool) -> Fetched:
        """Return the page without the one row more that tells whether anything follows.

        `cut` says that more rows follow than the statement gave.
        """
        rows: int = self.table.num_rows
        kept = rows if query.limit is None else min(rows, query.limit)
        return Fetched(
            self._frame(query).head(kept),
            lambda row: self._position(query, row, source),
            cut or rows > kept,
        )

    def _places(self) -> Iterator[tuple[SourceColumn, int]]:
        at = 0
        for column in self.columns:
            yield column, at
            at += 2 if column.column.name in self.apart else 1

    def _frame(self, query: Query) -> pl.DataFrame:
        made: list[pl.Series] = []
        beside: list[pl.Series] = []
        for column, at in self._places():
            name, values = column.column.name, self.table.column(at)
            whole = self._whole.get(name)
            if whole is not None:
                made.append(whole)
                continue
            made.append(typed(name, column.dtype, values))
            others = self.table.column(at + 1)
            if others.null_count < len(others):
                beside.append(typed(unfit_name(name), pl.String(), others))
        behind = len(self.columns) + len(self.apart)
        for place, computed in enumerate(query.computed, behind):
            numbers = pl.from_arrow(self.table.column(place))
            made.append(pl.Series(computed.name, numbers).cast(computed.dtype))
        return pl.DataFrame([*made, *beside])

    def _position(self, query: Query, row: int, source: str) -> tuple[Scalar, ...]:
        places = {column.column.name: at for column, at in self._places()}
        first = self.table.num_columns - 2 * len(self.retyped)
        pairs = {c.column.name: first + 2 * i for i, c in enumerate(self.retyped)}
        try:
            found: list[Scalar] = []
            for name in (c.column.name for c in query.cursor):
                i = pairs.get(name)
                if i is None:
                    found.append(self.table.column(places[name])[row].as_py())
                else:
                    kind, text = (self.table.column(j)[row].as_py() for j in (i, i + 1))
                    found.append(revived(kind, str(text)))
        except UnicodeDecodeError:
            raise SourceRefused(
                f"source {source!r}: a key or tracked value is not valid UTF-8 text, so there "
                "is no telling which rows come after it.",
                cure="Correct the value, or store it as a BLOB.",
            ) from None
        return tuple(found)
