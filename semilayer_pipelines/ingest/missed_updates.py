"""Counting what incremental ingest could not have seen, for smart sync to report.

A row that is new or changed, and whose tracked value lies before the point at which incremental
ingest goes on, was written without moving the column: no incremental walk will ever read it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl

from semilayer_pipelines.bridges.cursors import Scalar, decode
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.ingest.incremental import goes_on_at
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.registry import cursors
from semilayer_pipelines.registry.generations import Generation

__all__ = ["MissedUpdates"]


class MissedUpdates:
    """Knows from which tracked value on incremental ingest looks; counts what lies before it.

    Counts nothing for a lens without a cursor, and while the mapping or the condition of the lens
    changed: then rows differ that nobody has written to.
    """

    def __init__(self, opened: OpenLens, generation: Generation) -> None:
        with opened.registry.read() as db:
            at = cursors.get(db, opened.lens.id)
        since = goes_on_at(at, opened.clock())
        joined = (
            tuple(join.column(name) for name in join.tracked) for join in opened.selection.joins
        )
        self._tracked = tuple(filter(None, (opened.tracked, *joined)))
        self._key = opened.selection.key
        self._since = decode(since)[0] if since else None
        built = (generation.mapping_fingerprint, generation.config.where)
        if built != (opened.mapping.fingerprint, opened.lens.config.where):
            self._since = None

    def reading(self, opened: OpenLens) -> OpenLens:
        """Return the opened lens with the tracked columns among what is read, where needed."""
        columns = opened.selection.columns
        tracked = (name for names in self._tracked for name in names)
        added = tuple(name for name in tracked if name not in columns)
        if self._since is None or not added:
            return opened
        selection = replace(opened.selection, columns=(*columns, *added))
        return replace(opened, selection=selection)

    def count(self, rows: pl.DataFrame, differing: pl.Series) -> int:
        """Return how many of the source rows with these keys (String) were missed by incremental.

        A tracked value that is NULL is not counted: incremental reports those itself.
        """
        if self._since is None or not self._tracked or not differing.len():
            return 0
        try:
            bounds = [_bound(self._since, rows.schema[names[0]]) for names in self._tracked]
        except ValueError:
            return 0  # a time that no calendar has, such as MariaDB's zero date
        own, *joined = [
            None if bound is None else pl.coalesce(names) < bound
            for names, bound in zip(self._tracked, bounds, strict=True)
        ]
        if own is None:
            return 0
        # Incremental goes by the latest of them, where a joined row has a value.
        quiet = (before.fill_null(value=True) for before in joined if before is not None)
        # Of the few that differ, and not of the whole page, which would be copied.
        few = rows.filter(key_texts(rows, self._key).is_in(differing.implode()))
        return few.filter(own, *quiet).height


def _bound(value: Scalar, dtype: pl.DataType) -> pl.Expr | None:
    """Return a tracked value as one of the column's own type, `None` where they do not compare."""
    match dtype, value:
        case pl.Datetime(), str():
            moment = datetime.fromisoformat(value)
            if dtype.time_zone is None:
                return pl.lit(moment.replace(tzinfo=None)).cast(dtype)
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return pl.lit(zoned.astimezone(UTC)).cast(dtype)
        case pl.Date(), str():
            return pl.lit(date.fromisoformat(value[:10]))
        case pl.String(), str():
            return pl.lit(value)
        case pl.Binary(), bytes():
            return pl.lit(value)
        case _, int() | float() | Decimal() if dtype.is_numeric():
            return pl.lit(value)
        case _:
            return None
