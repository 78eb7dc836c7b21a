"""The seven things that SQLite and PostgreSQL say differently, and statements put together once.

Nothing else in the registry may ask which database it talks to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Subquery,
    Table,
    Text,
    bindparam,
    column,
    func,
    literal,
    literal_column,
    select,
    text,
    type_coerce,
)

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

__all__ = [
    "among",
    "insert",
    "insert_all",
    "lock_for_migration",
    "next_number",
    "once",
    "rows_given",
    "rows_of",
    "rows_to_give",
    "writes_twice",
]

T = TypeVar("T")

MIGRATION = 20_390_001  # arbitrary, and fixed: every version must ask for the same lock


def lock_for_migration(db: Connection) -> None:
    """Be alone with migrating until the transaction ends; on SQLite a writer is alone anyway."""
    if db.dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(MIGRATION)))


def insert(db: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    # A dialect takes a tenth of a second to import, and SQLAlchemy has imported the one in use.
    if db.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def insert_all(db: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert of many rows whose failure ends the transaction.

    It has to be undone with the transaction anyway. SQLite copies each page before its first change
    for a statement that it may have to take back alone, which doubles what is written. That also
    needs foreign keys that are checked at the end of the transaction.
    """
    new = insert(db, table)
    return new if db.dialect.name == "postgresql" else new.prefix_with("OR ROLLBACK")


def writes_twice(db: Connection) -> bool:
    """Say whether one statement may write to two tables, which spares a round trip to a server."""
    return db.dialect.name == "postgresql"


def next_number(
    db: Connection, number: Column[int], position: ColumnElement[int]
) -> ColumnElement[int]:
    """Return the number that a table gives to the new row at `position`, from 1, among others.

    `number` is the column that counts by itself. For rows that are numbered in one order and
    written in another. PostgreSQL numbers them as they come, so they must come by position.
    """
    table = number.table
    if db.dialect.name == "postgresql":
        return literal_column(f"nextval('{table.name}_{number.name}_seq')", BigInteger)
    # Who writes is alone until the transaction ends.
    last = text("SELECT seq FROM sqlite_sequence WHERE name = :counted").bindparams(
        counted=table.name
    )
    given = last.columns(column("seq", BigInteger)).scalar_subquery()
    return func.coalesce(given, 0) + position


def once(build: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """Keep the statement that a function builds, one a dialect.

    For what every call of the webhook does: putting a statement together takes longer than running
    it does. Its values are parameters.
    """
    built: dict[str, T] = {}

    def kept(db: Connection) -> T:
        if db.dialect.name not in built:
            built[db.dialect.name] = build(db)
        return built[db.dialect.name]

    return kept


def rows_of(db: Connection, **columns: Sequence[str]) -> Subquery:
    """Return texts as a table, so that one statement handles any number of them.

    The columns have the given names and equal lengths; `position` numbers the rows from 1.
    """
    given = rows_to_give(db, **columns)
    return _rows(db, list(columns), lambda name, type_: literal(given[name], type_))


def rows_given(db: Connection, *names: str) -> Subquery:
    """Return the same table for a statement whose texts come as parameters (`rows_to_give`)."""
    return _rows(db, names, lambda name, type_: bindparam(name, type_=type_))


def rows_to_give(db: Connection, **columns: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a statement that has `rows_given` in it."""
    if db.dialect.name == "postgresql":
        return {f"given_{name}": list(texts) for name, texts in columns.items()}
    first, *others = columns.values()
    # A text by itself need not be parsed again, which is a third of what the statement takes.
    rows = list(zip(first, *others, strict=True)) if others else list(first)
    return {"given": json.dumps(rows)}


def _rows(
    db: Connection, names: Sequence[str], given: Callable[[str, Any], ColumnElement[Any]]
) -> Subquery:
    source: FromClause
    if db.dialect.name == "postgresql":
        source = (
            func.unnest(*(given(f"given_{name}", ARRAY(Text)) for name in names))
            .table_valued(
                *(column(name, Text) for name in names), with_ordinality="position", name="given"
            )
            .render_derived()
        )
        return select(*(source.c[name] for name in names), source.c.position).subquery()
    source = func.json_each(given("given", Text)).table_valued("key", "value", name="given")
    values = (
        [source.c.value]
        if len(names) == 1
        else [func.json_extract(source.c.value, f"$[{at}]") for at in range(len(names))]
    )
    texts = (
        type_coerce(value, Text).label(name) for name, value in zip(names, values, strict=True)
    )
    return select(*texts, (source.c.key + 1).label("position")).subquery()


def among(db: Connection, values: ColumnElement[str], texts: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a value is one of `texts`, of which there may be any number."""
    if db.dialect.name == "postgresql":
        return values == func.any(literal(list(texts), ARRAY(Text)))
    source = func.json_each(literal(json.dumps(list(texts)), Text)).table_valued("value")
    return values.in_(select(source.c.value))
