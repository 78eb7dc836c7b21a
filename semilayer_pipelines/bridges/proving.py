"""What a source proves about rows that nobody has written to, and the rows that somebody has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from semilayer_pipelines.bridges import condition
from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.collected import nothing
from semilayer_pipelines.bridges.cursors import decode, encode
from semilayer_pipelines.bridges.database import Computed, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.pages import Pages
from semilayer_pipelines.bridges.protocol import (
    KEY_HASH,
    Column,
    KeySums,
    Selection,
    SourcePage,
    Window,
    Written,
)
from semilayer_pipelines.bridges.reader import Reader
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.errors import TableAltered

__all__ = ["Proving"]

_KEYS_A_SCAN = 200_000
_ROWS_A_PAGE = 1_000
_KEYS_AT_A_TIME = 50_000


@dataclass(frozen=True)
class _Scan:
    """What a scan found that is still to be read: encoded keys, in key order.

    `window` is where they go on, exactly as the next page asks for it. `complete`: none follow.
    """

    selection: Selection
    since: str
    window: Window
    keys: tuple[str, ...]
    complete: bool


class Proving:
    """Proofs of one source's tables, and reading what they leave.

    The rows written since are found by a scan of the table, which costs the same for one of them as
    for all. So it is remembered, and the pages that follow are read by its keys. A walk that
    begins, or goes on elsewhere, scans again.
    """

    def __init__(self, reader: Reader, pages: Pages) -> None:
        self._reader = reader
        self._db = reader.db
        self._catalogue = reader.catalogue
        self._pages = pages
        self._scan: _Scan | None = None

    def written(self, selection: Selection) -> Written | None:
        """Return how far the table has been written to, where the source can tell."""
        # One table proves nothing about the others that its rows are joined with.
        return None if selection.joins else self._db.written(selection.table)

    def unwritten(
        self, selection: Selection, kept: Written, *, patient: bool = True
    ) -> Written | None:
        """Return how far the table is written to now, if it was not written to since `kept`."""
        if selection.joins:
            return None
        return self._db.unwritten(selection.table, kept, patient=patient)

    def hashed(self, selection: Selection) -> tuple[Computed, ...]:
        """Return the column KEY_HASH, where it is asked for and the source has one."""
        found = self._db.key_hash(self._catalogue.key(selection)) if selection.hashed else None
        return () if found is None else (Computed(KEY_HASH, found, pl.Int64()),)

    def read_written(
        self,
        selection: Selection,
        since: str,
        window: Window,
        limit: int,
        computed: tuple[Computed, ...],
    ) -> SourcePage:
        """Read up to `limit` rows that were written after `since`, in key order."""
        scan, self._scan = self._scan, None
        if scan is None or (scan.selection, scan.since, scan.window) != (selection, since, window):
            scan = self._written_keys(selection, since, window)
        keys = scan.keys[: min(limit, _ROWS_A_PAGE)]
        if not keys:
            return SourcePage(nothing(self._reader, selection, computed), None)
        page = self._pages.read(
            selection,
            self._catalogue.key(selection),
            [st.one_of(self._db, self._catalogue.key(selection), [decode(one) for one in keys])],
            len(keys),
            shard=computed,
            told=condition.told(self._db, selection),
        )
        if page.cursor is None:
            cursor = None if scan.complete and len(keys) == len(scan.keys) else keys[-1]
        elif page.cursor in keys:
            # It was full before they were all read.
            cursor, keys = page.cursor, keys[: keys.index(page.cursor) + 1]
        else:
            return page  # a key that is spelled otherwise by now: the next page scans for itself
        left = scan.keys[len(keys) :]
        if cursor is not None and left:
            self._scan = replace(scan, window=Window(cursor, window.upto), keys=left)
        return replace(page, cursor=cursor)

    def _written_keys(self, selection: Selection, since: str, window: Window) -> _Scan:
        key = self._catalogue.key(selection)
        table = self._catalogue.table(selection)
        after = None if window.after is None else st.after(self._db, key, decode(window.after))
        upto = None if window.upto is None else st.upto(self._db, key, decode(window.upto))
        written = self._db.written_after(table, since)
        tail = st.tail(
            Sql(table.quoted), key, [st.complete(key), after, upto, written], _KEYS_A_SCAN + 1
        )
        found = self._reader.read(selection, Query(key, key, selection.key, tail, _KEYS_A_SCAN))
        keys = tuple(encode(found.position(row)) for row in range(found.frame.height))
        # Asked last: the place that is told is also that of the rows.
        now = self.written(selection)
        if now is None or now.since is None or not _same_place(now.since, since):
            raise TableAltered(
                f"source {self._reader.name!r}: {selection.table!r} was altered, or its server was "
                "started again, while it was read.",
                cure="It is read again, as it is now.",
            )
        return _Scan(selection, since, window, keys, not found.more)

    def key_sums(self, selection: Selection, since: str) -> KeySums:
        """Add up the keys, and count the rows written after `since`, in one look at each row."""
        table, hashed = self._catalogue.table(selection), self._key_hash(selection)
        written = self._db.written_after(table, since).text
        columns = (
            _made("rows", "count(*)", pl.Int64()),
            _made("sum", f"CAST(COALESCE(sum({hashed}), 0) AS text)", pl.String()),
            _made("written", f"count(*) FILTER (WHERE {written})", pl.Int64()),
        )
        tail = Sql(f" FROM {table.quoted}") + st.both(self._all(selection))
        found = self._reader.read(selection, Query(columns, (), (), tail, None)).frame
        rows, total, count = found.row(0)
        return KeySums(rows, int(total), count)

    def buckets(self, selection: Selection, number: int) -> pl.DataFrame:
        """Return count and sum of the hashes of the keys, by bucket."""
        table, hashed = self._catalogue.table(selection), self._key_hash(selection)
        columns = (
            _made("bucket", f"pg_catalog.mod(key_hash, {int(number)})", pl.Int64()),
            _made("rows", "count(*)", pl.Int64()),
            _made("sum", "CAST(sum(key_hash) AS text)", pl.String()),
        )
        keys = Sql(f"SELECT {hashed} AS key_hash FROM {table.quoted}") + st.both(
            self._all(selection)
        )
        # With OFFSET 0 each hash is made once, and not for bucket and sum each.
        tail = Sql(" FROM (") + keys + Sql(" OFFSET 0) AS keys GROUP BY 1")
        query = Query(columns, (), (), tail, None)
        return self._reader.read(selection, query).frame.sort("bucket")

    def read_keys(
        self, selection: Selection, number: int, buckets: Sequence[int]
    ) -> Iterator[pl.Series]:
        """Yield the key texts of the rows in these buckets."""
        if not buckets:
            return
        key = self._catalogue.key(selection)
        table = self._catalogue.table(selection)
        listed = ", ".join(str(int(bucket)) for bucket in buckets)
        bucket = f"pg_catalog.mod({self._key_hash(selection)}, {int(number)})"
        conditions = [*self._all(selection), Sql(f"{bucket} IN ({listed})")]
        after: Sql | None = None
        while True:
            tail = st.tail(Sql(table.quoted), key, [*conditions, after], _KEYS_AT_A_TIME + 1)
            query = Query(key, key, selection.key, tail, _KEYS_AT_A_TIME)
            found = self._reader.read(selection, query)
            yield key_texts(found.frame, selection.key)
            if not found.more or found.last is None:
                return
            after = st.after(self._db, key, found.last)

    def _all(self, selection: Selection) -> list[Sql | None]:
        key = self._catalogue.key(selection)
        return [st.complete(key), condition.holds(self._db, selection)]

    def _key_hash(self, selection: Selection) -> str:
        found = self._db.key_hash(self._catalogue.key(selection))
        if found is None:
            raise ValueError(f"{self._reader.name!r} hashes no keys: Written.since was None")
        return found.text


def _made(name: str, expression: str, dtype: pl.DataType) -> SourceColumn:
    return SourceColumn(Column(name, "other", False, ""), name, expression, name, dtype)


def _same_place(one: str, other: str) -> bool:
    return one.partition("|")[2] == other.partition("|")[2]
