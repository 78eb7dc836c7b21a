"""Which row of a table an id names, however it is spelled.

A row has one key text, the one that a walk gives it. Callers may spell it otherwise: `alice` for
`Alice` under a collation that ignores case. Which row an id names is asked of the database, with
its own equality. Where there is no row to ask about, ids stand as literals in a table of their own,
which has the types and collations of the key columns (see `_literals`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Computed, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.ids import parse_ids, portions, scale
from semilayer_pipelines.bridges.protocol import SHARD_COLUMN, NamedRows, Selection
from semilayer_pipelines.bridges.reader import Reader
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.bridges.spellings import may_equal

__all__ = ["Naming"]

# Values, of which an id of SQLite has several: it takes 500 parts of a UNION.
_AT_ONCE = 100

# Equal for a collation that ignores case, blanks, accents or how an accent is written.
_LOOSE = (("a", "A"), ("a", "a "), ("a", "\u00e1"), ("\u00e9", "e\u0301"))

# A name that no column of a table has: `Catalogue` sees to that.
_TAG = SHARD_COLUMN

_Wanted = dict[str, list[tuple[Scalar, ...]]]


class Naming:
    """Tells which rows of one source's tables ids name."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._db = reader.db
        self._catalogue = reader.catalogue
        self._loose: dict[tuple[str, tuple[str, ...]], bool] = {}

    def name(self, selection: Selection, ids: Iterable[str]) -> NamedRows:
        """Return the key texts of the rows that ids name, and of ids that name none."""
        wanted, malformed = parse_ids(self._db, self._catalogue.key(selection), ids)
        waiting = portions(wanted, wanted, _AT_ONCE)
        rows: dict[str, str] = {}
        forms: dict[str, str] = {}
        while waiting:
            chunk = waiting.pop()
            try:
                rows_of = self._rows(selection, wanted, chunk)
                found = self._texts(selection, chunk, rows_of, are_rows=True)
                absent = [id for id in chunk if id not in found]
                written = self._texts(selection, absent, self._literals(selection, wanted, absent))
                forms |= {id: text for id, text in written.items() if text is not None}
                # MariaDB has NULL for a literal that is no value of its column's type.
                malformed |= {id: "no value of its type" for id in absent if written[id] is None}
                rows |= {id: text for id, text in found.items() if text is not None}
            except ValueRefused as refusal:
                if len(chunk) > 1:
                    waiting += _halves(chunk)
                else:
                    malformed[chunk[0]] = refusal.message
        return NamedRows(rows, forms, malformed)

    def same(
        self, selection: Selection, ids: Sequence[str], keys: Sequence[str]
    ) -> list[tuple[str, str]]:
        """Return the pairs of an id and a key text that are equal for the database."""
        key = self._catalogue.key(selection)
        few = pl.Series(keys, dtype=pl.String)
        if all(column.column.kind != "other" for column in key):
            few = may_equal(pl.Series(ids, dtype=pl.String), few)
        left, _ = parse_ids(self._db, key, ids)
        right, _ = parse_ids(self._db, key, few)
        pairs: list[tuple[str, str]] = []
        for theirs in portions(right, right, _AT_ONCE):
            for ours in portions(left, left, _AT_ONCE):
                pairs += self._equal(selection, left, ours, right, theirs)
        return pairs

    def is_loose(self, selection: Selection) -> bool:
        """Say whether keys of different texts may be equal, beyond what `name` sees to."""
        at = (selection.table, selection.key)
        if at not in self._loose:
            columns = self._catalogue.key(selection)
            self._loose[at] = any(self._is_loose(selection, column) for column in columns)
        return self._loose[at]

    def _is_loose(self, selection: Selection, column: SourceColumn) -> bool:
        match column.column.kind:
            case "text":
                alone = Selection(selection.table, (column.column.name,), (column.column.name,))
                return any(self._equals(alone, *pair) for pair in _LOOSE)
            case "number":
                return self._db.types_values or scale(column) is None
            case "other":
                return True
            case "integer":
                return False
            case _:
                return self._db.types_values

    def _equals(self, selection: Selection, one: str, other: str) -> bool:
        """Say whether two texts are equal, and stay as different as they are."""
        pair = [one, other]
        values: _Wanted = {text: [(text,)] for text in pair}
        if not self._equal(selection, values, [one], values, [other]):
            return False
        forms = self._texts(selection, pair, self._literals(selection, values, pair))
        return forms[one] != forms[other]

    def _equal(
        self,
        selection: Selection,
        left: _Wanted,
        ours: list[str],
        right: _Wanted,
        theirs: list[str],
    ) -> list[tuple[str, str]]:
        """Compare literals with literals."""
        key = self._catalogue.key(selection)
        names = ", ".join(f"theirs.{column.quoted}" for column in key)
        joined = Sql(
            f"SELECT {names}, ours.{_TAG} * {len(theirs)} + theirs.{_TAG} AS {_TAG} FROM ("
        )
        joined += self._literals(selection, left, ours) + Sql(") ours JOIN (")
        joined += self._literals(selection, right, theirs) + Sql(") theirs ON ")
        joined += Sql(" AND ".join(f"ours.{c.quoted} = theirs.{c.quoted}" for c in key))
        try:
            numbers = self._tagged(selection, joined)[SHARD_COLUMN].unique(maintain_order=True)
        except ValueRefused:
            if len(ours) == len(theirs) == 1:
                return []  # a text that the column cannot hold equals nothing in it
            return [
                pair
                for mine in _halves(ours)
                for half in _halves(theirs)
                for pair in self._equal(selection, left, mine, right, half)
            ]
        return [(ours[n // len(theirs)], theirs[n % len(theirs)]) for n in numbers]

    def _texts(
        self, selection: Selection, ids: list[str], tagged: Sql, *, are_rows: bool = False
    ) -> dict[str, str | None]:
        """Return the key texts of tagged rows by the ids that they are tagged with; the first wins.

        Of several rows that are equal, an id that is one's own text names that one.
        """
        if not ids:
            return {}
        frame = self._tagged(selection, tagged)
        found: dict[str, str | None] = {}
        pairs = zip(frame[SHARD_COLUMN], key_texts(frame, selection.key), strict=True)
        for tag, text in pairs:
            if ids[tag] not in found or (are_rows and text == ids[tag]):
                found[ids[tag]] = text
        return found

    def _tagged(self, selection: Selection, tagged: Sql) -> pl.DataFrame:
        """Read rows of the key columns and a `tag`, as a walk would read them."""
        tail = Sql(" FROM (") + tagged + Sql(") named")
        key = self._catalogue.key(selection)
        query = Query(key, (), selection.key, tail, None, (Computed(SHARD_COLUMN, Sql(_TAG)),))
        return self._reader.read(selection, query).frame

    def _rows(self, selection: Selection, wanted: _Wanted, ids: list[str]) -> Sql:
        """Return the rows that ids name, each with the place of its id as `tag`."""
        key, table = self._catalogue.key(selection), self._catalogue.table(selection)
        names = ", ".join(column.quoted for column in key)

        def of(tag: int) -> Sql:
            where = st.both([st.one_of(self._db, key, wanted[ids[tag]])])
            return Sql(f"SELECT {names}, {tag} AS {_TAG} FROM {table.quoted}") + where

        return _union(of(tag) for tag in range(len(ids)))

    def _literals(self, selection: Selection, wanted: _Wanted, ids: list[str]) -> Sql:
        """Return ids as rows, each with its place as `tag`.

        No row of the table is among them: it only lends its columns' types and collations.
        """
        key, table = self._catalogue.key(selection), self._catalogue.table(selection)
        names = ", ".join(column.quoted for column in key)
        marks = ", ".join(self._db.literal(column) for column in key)
        typed = Sql(f"SELECT {names}, 0 AS {_TAG} FROM {table.quoted} WHERE 1 = 0")
        return _union(
            [
                typed,
                *(
                    Sql(f"SELECT {marks}, {tag}", value)
                    for tag, id in enumerate(ids)
                    for value in wanted[id]
                ),
            ]
        )


def _union(parts: Iterable[Sql]) -> Sql:
    parts = list(parts)
    return Sql(
        " UNION ALL ".join(part.text for part in parts),
        tuple(param for part in parts for param in part.params),
    )


def _halves(ids: list[str]) -> list[list[str]]:
    middle = (len(ids) + 1) // 2
    return [half for half in (ids[:middle], ids[middle:]) if half]
