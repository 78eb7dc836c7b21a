"""A bridge: a read-only way to the rows of a source.

A bridge returns Polars frames whose columns are the source's columns, unmapped. It never writes,
never compares keys itself (the database does, with its own collation) and never swallows a row: it
names each one that it cannot deliver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # `semilayer status` need not wait for it
    import polars as pl

__all__ = [
    "KEY_HASH",
    "NO_KEYS",
    "PAGE_BYTES",
    "SHARD_COLUMN",
    "UNTRACKABLE",
    "Bridge",
    "Column",
    "ColumnKind",
    "HiddenRows",
    "Join",
    "KeySums",
    "LookedUp",
    "NamedRows",
    "Selection",
    "SourcePage",
    "Table",
    "Untracked",
    "Window",
    "Written",
]

ColumnKind = Literal[
    "integer", "number", "text", "boolean", "datetime", "date", "uuid", "json", "binary", "other"
]

NO_KEYS: tuple[ColumnKind, ...] = ("json",)
"""Kinds whose values cannot identify a row."""

UNTRACKABLE: tuple[ColumnKind, ...] = ("json", "boolean")
"""Kinds whose values have no order that follows changes."""

PAGE_BYTES = 32 * 2**20
"""Texts and bytes that a page holds before it ends; its last row may weigh more.

A page is in memory several times: as the driver's objects, as a frame, as mapped fields and as the
texts to embed. While one is written, the next is read, and in a smart sync the one behind it.
"""

KEY_HASH = "_key_hash"
"""Int64 column, 0 or above, added to rows of a `Selection` that is `hashed`.

It is the database's own hash of the row's key, of 40 bits: millions of them add up in 63.
"""

SHARD_COLUMN = "_shard"
"""Int32 column added to rows whose `Selection` has bounds: the number of the shard, from 0."""


@dataclass(frozen=True)
class Column:
    """One column of a source table, as the database describes it.

    `highest` is the largest integer that fits, `None` where it is not known to be below 64 bits.
    `enum`: its values are labels of a list of the database's own.
    """

    name: str
    kind: ColumnKind
    nullable: bool
    database_type: str
    highest: int | None = None
    enum: bool = False


@dataclass(frozen=True)
class Table:
    """A source table or view.

    `key` is its primary key in key order, empty when it has none. Then `unique` are its other keys:
    in a table, those without a column that may be NULL. `rowid` is the number that the database
    itself gives each row, where it can be read and is none of the columns.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    rowid: Column | None = None

    def column(self, name: str) -> Column | None:
        """Return the column called `name`, or `None`."""
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True)
class Join:
    """A table of which each row of another has one row or none.

    `on` are pairs of a column of the selection's table and a column of `table`; the latter cover a
    unique key of it. `tracked` are the columns that tell when a row of it changed: the first that
    is set counts. Its columns are called `name.column` in `Selection.columns` and in frames.
    """

    name: str
    table: str
    on: tuple[tuple[str, str], ...]
    tracked: tuple[str, ...] = ()

    def column(self, name: str) -> str:
        """Return what a column of the joined table is called in a selection."""
        return f"{self.name}.{name}"


@dataclass(frozen=True)
class Selection:
    """Which columns of which rows of which table, and what identifies a row.

    `columns` always contains the key columns. `bounds` are the encoded upper keys (inclusive) of
    all shards but the last, ascending; empty means one shard. `where` is a condition in the
    source's SQL: a row for which it is false or NULL is as if it were not there. Only
    `read_changed`, `read_written` and `read_rows` tell of such rows, by their keys. `hashed` adds
    KEY_HASH, for a table of which `Written.since` is known. `joins` bring in columns of other
    tables. Which rows there are, their keys and `where` are the table's own affair.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    bounds: tuple[str, ...] = ()
    where: str | None = None
    hashed: bool = False
    joins: tuple[Join, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The table, and those that are joined, each once."""
        return tuple(dict.fromkeys((self.table, *(join.table for join in self.joins))))


@dataclass(frozen=True)
class Window:
    """A key range: after `after` (exclusive) up to `upto` (inclusive), both encoded keys."""

    after: str | None = None
    upto: str | None = None


@dataclass(frozen=True)
class SourcePage:
    """Rows in order, and the encoded cursor after the last of them.

    Each column of the frame has the same type on every page. A value that does not fit it stands
    beside it, see `unfit`.

    `cursor` is `None` exactly when nothing follows. `last` is the encoded position of the last
    row, `None` when there is no row: where a walk that ended may go on another day.

    `refused` are the rows between those of the frame that the database cannot read, a view that
    divides by zero for instance: their key texts, and why. `outside` are the key texts of rows that
    are there and that `Selection.where` leaves out.
    """

    frame: pl.DataFrame
    cursor: str | None
    last: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """How far a table had been written to when somebody asked.

    `place` is a digest of all that decides what a row reads as: server, database, table and its
    storage, columns, settings that shape texts. What another place says proves nothing.

    Equal `mark`s of one place: no row was written or removed between the two moments. Give `since`
    to `read_written` later, for every row written after this moment, late commits included. Each is
    `None` where the source cannot tell, and never wrong.
    """

    place: str
    mark: str | None
    since: str | None


@dataclass(frozen=True)
class KeySums:
    """How many `rows` a table has, and the exact `total` of the KEY_HASHes of their keys.

    `written`: so many of them were written after a `Written.since`.
    """

    rows: int
    total: int
    written: int = 0


@dataclass(frozen=True)
class Untracked:
    """Rows whose tracked value is NULL (`missing`), or a time too far ahead (`in_the_future`)."""

    missing: int
    in_the_future: int


@dataclass(frozen=True)
class LookedUp:
    """Rows found by id.

    `malformed` are the ids that can never name a row of this table, and why. `refused` are the rows
    that are there and that the database cannot read: their key texts, and why. `left` are the ids
    that were not looked up, because the rows before them weigh `PAGE_BYTES`. `outside` are the key
    texts of rows that are there and that `Selection.where` leaves out.
    """

    frame: pl.DataFrame
    malformed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class HiddenRows:
    """Why a source may hide rows of a table from this user: a sentence, and the cure in another.

    `all_of_them`: no row can be seen, whatever the table holds.
    """

    reason: str
    cure: str
    all_of_them: bool


@dataclass(frozen=True)
class NamedRows:
    """Which rows ids name, in the database's own equality.

    `rows` are the key texts of the rows that are there, by id. `forms` has the ids that name no
    row, as the database would write them. `malformed` are the ids that can never name a row of this
    table, and why.
    """

    rows: dict[str, str] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)
    malformed: dict[str, str] = field(default_factory=dict)


class Bridge(Protocol):
    """Read-only adapter to one source.

    Every verb may raise `SourceUnreachable` (may pass), `SourceRefused` (will not) and
    `SchemaMismatch` (table or column missing; the message lists what exists). Those that read rows
    may raise `TableAltered`: the table is not as it was described.
    """

    def tables(self) -> list[str]:
        """Return the names of all tables and views that this user may see, sorted."""
        ...

    def table(self, name: str) -> Table:
        """Describe a table or view; `name` may be qualified (`schema.table`)."""
        ...

    def check_readable(self, selection: Selection) -> None:
        """Look whether the columns can be read; no row is. Raises `NotPermitted`."""
        ...

    def check_where(self, selection: Selection) -> None:
        """Look whether `where` is one condition over the table; some rows are tried.

        Raises `SchemaMismatch` with the database's own words, or with what to write instead.
        """
        ...

    def check_joins(self, selection: Selection, tracked: Sequence[str]) -> None:
        """Look whether the database can join the tables, and compare what is tracked in them.

        `tracked` are the table's own tracked columns, none where it has none.

        Raises `SchemaMismatch` with the database's own words.
        """
        ...

    def unique_keys(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return the primary key of a table and its other unique keys, also those with NULL.

        No two rows have the same values in such columns, where none of them is NULL.
        """
        ...

    def parents_of(
        self, selection: Selection, join: str, ids: Sequence[str], *, at_once: int = 10_000
    ) -> Iterator[tuple[str, ...]]:
        """Yield the key texts of the rows whose joined row is one of `ids`, so many at a time.

        `ids` are key texts of the joined table, in any spelling; malformed ones name nothing. They
        are looked up when the iterator is asked. A joined row that is gone is still found by when
        `on` covers exactly its table's key. Rows that `where` leaves out are not told of, unless it
        fails for one.
        """
        ...

    def count(self, selection: Selection, window: Window = Window()) -> int:
        """Count the rows with a complete key in the window."""
        ...

    def null_keys(self, selection: Selection) -> int:
        """Count rows in which a key column is NULL: they cannot be identified, so not indexed."""
        ...

    def bounds(self, selection: Selection, shards: int) -> tuple[str, ...]:
        """Return the encoded upper keys of all shards but the last, found by the database.

        Ranges are near-equal in rows; fewer bounds come back when the table has fewer rows than
        shards.
        """
        ...

    def last_key(self, selection: Selection, window: Window = Window()) -> str | None:
        """Return the largest key of the window in key order, encoded; `None` without a row."""
        ...

    def read_page(self, selection: Selection, window: Window, limit: int) -> SourcePage:
        """Read up to `limit` rows of the window in key order, fewer when they weigh too much."""
        ...

    def read_rows(self, selection: Selection, ids: Sequence[str]) -> LookedUp:
        """Read the rows whose key, as text, is one of `ids` (any number; chunked inside).

        Ends early when the rows weigh `PAGE_BYTES`: the ids that are `left` are asked for again.

        An id may be spelled in any way that is equal for the database; `name_rows` tells which row
        it names then. A composite key's text is the JSON array of its parts' texts. One malformed
        id fails nothing but itself. Absent ids are simply not in the frame.
        """
        ...

    def name_rows(self, selection: Selection, ids: Sequence[str]) -> NamedRows:
        """Return the key texts, as a walk gives them, of ids in any spelling (any number).

        Also of rows that `where` leaves out.
        """
        ...

    def spell(self, selection: Selection, rows: Sequence[Sequence[str]]) -> list[str]:
        """Return the key texts, as a walk gives them, of keys that the database's log told.

        `rows` has the texts of each key's parts in key order, in UTC, ISO dates and all digits. The
        database is not asked, but for the types of the columns.
        """
        ...

    def is_loose(self, selection: Selection) -> bool:
        """Say whether keys of several texts may be equal: by collation, padding or notation.

        Then the form of an id that names no row does not tell what its row was called.
        """
        ...

    def same_keys(
        self, selection: Selection, ids: Sequence[str], keys: Sequence[str]
    ) -> list[tuple[str, str]]:
        """Return the pairs of an id and a key text that are equal for the database.

        Neither needs to be a row's. `keys` may be many: most are told apart without the database.
        """
        ...

    def read_changed(
        self,
        selection: Selection,
        tracked: str | Sequence[str],
        cursor: str | None,
        limit: int,
        *,
        since: str | None = None,
        upto: str | None = None,
        horizon: datetime | None = None,
    ) -> SourcePage:
        """Read up to `limit` rows ordered by (tracked, key), after `cursor`; by weight, fewer.

        Without a cursor the walk starts at `since` or, when that is `None` too, at the smallest
        value; it ends at `upto`. Both are inclusive, encoded tracked values as `high_water` gives
        them. Times after `horizon` are left out as there. Rows whose tracked value is NULL are
        never returned. `tracked` may be several columns of one type: the first that is set counts.
        Rows that `where` leaves out are read past, and told of. With joins that are tracked, the
        value of a row is the largest of its own and of those of its joined rows.
        """
        ...

    def high_water(
        self, selection: Selection, tracked: str | Sequence[str], horizon: datetime | None = None
    ) -> str | None:
        """Return the largest tracked value of all rows, encoded; `None` when there is none.

        With a `horizon`, times after it are left out (SQLite: after its day).
        """
        ...

    def untracked(
        self, selection: Selection, tracked: str | Sequence[str], horizon: datetime
    ) -> Untracked:
        """Count the rows that a walk in tracked order cannot place.

        With joins, those of which the own value or that of a joined row is missing, or too far
        ahead.
        """
        ...

    def out_of_order(self, selection: Selection, tracked: str | Sequence[str]) -> str | None:
        """Return a value that shows that a tracked column does not sort by time.

        `None` when a few of its smallest and largest values do. Only texts are looked at.
        """
        ...

    def written(self, selection: Selection) -> Written | None:
        """Return how far the table has been written to; `None` where the source cannot tell.

        Also of a view, and where rows may be hidden from this user: that changes without a write.
        Also with joins: what is proven of one table says nothing about the others.

        To be asked before a walk begins; it takes about a millisecond. A walk that took long may
        have read from a second server: nothing is proven unless `place` is the same at its end.
        """
        ...

    def unwritten(
        self, selection: Selection, kept: Written, *, patient: bool = True
    ) -> Written | None:
        """Return how far the table is written to now, if it was not written to since `kept`.

        Also on a server on which other tables are written to, where equal marks are not to be had,
        if `patient`: that may take 12 to 16 seconds, which cost the server nothing. `None` where
        something was written, or the source cannot tell.
        """
        ...

    def read_written(
        self, selection: Selection, since: str, window: Window, limit: int
    ) -> SourcePage:
        """Read up to `limit` rows of the window that were written after `since`, in key order.

        Rows that `where` leaves out are read past, and told of. Raises `TableAltered` when the
        table is in another place by now.
        """
        ...

    def key_sums(self, selection: Selection, since: str) -> KeySums:
        """Add up the keys that there are now, and count the rows written after `since`.

        `since` is a `Written.since`. Rows that `where` leaves out do not count.
        """
        ...

    def buckets(self, selection: Selection, number: int) -> pl.DataFrame:
        """Return `bucket`, `rows` (Int64) and `sum` (String) of the keys there are now.

        A key is in bucket KEY_HASH modulo `number`; `sum` adds up their KEY_HASHes, exactly. Rows
        that `where` leaves out do not count.
        """
        ...

    def read_keys(
        self, selection: Selection, number: int, buckets: Sequence[int]
    ) -> Iterator[pl.Series]:
        """Yield the key texts (String) of the rows in these of `number` buckets."""
        ...

    def hides_rows(self, *tables: str) -> HiddenRows | None:
        """Return why the source may hide rows of tables or views from this user.

        The first table that has a reason tells it; `None` when all rows are shown. A table that
        looks empty may only be closed.
        """
        ...

    def close(self) -> None:
        """Give back every connection."""
        ...
