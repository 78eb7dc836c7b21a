"""The four things that SQLite and PostgreSQL say differently.

Nothing else in the registry may ask which database it talks to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    FromClause,
    Subquery,
    Table,
    Text,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["among", "insert", "lock_for_migration", "rows_of"]


MIGRATION = 20_390_001  # arbitrary, and fixed: every version must ask for the same lock


def lock_for_migration(db: Connection) -> None:
    """Be alone with migrating until the transaction ends; on SQLite a writer is alone anyway."""
    if db.dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(MIGRATION)))


def insert(db: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if db.dialect.name == "postgresql" else sqlite.insert(table)


def rows_of(db: Connection, **columns: Sequence[str]) -> Subquery:
    """Return texts as a table, so that one statement handles any number of them.

    The columns have the given names and equal lengths; `position` numbers the rows from 1.
    """
    names = list(columns)
    source: FromClause
    if db.dialect.name == "postgresql":
        source = (
            func.unnest(*(literal(list(texts), ARRAY(Text)) for texts in columns.values()))
            .table_valued(
                *(column(name, Text) for name in names), with_ordinality="position", name="given"
            )
            .render_derived()
        )
        return select(*(source.c[name] for name in names), source.c.position).subquery()
    rows = json.dumps(list(zip(*columns.values(), strict=True)))
    source = func.json_each(literal(rows, Text)).table_valued("key", "value", name="given")
    return select(
        *(
            func.json_extract(source.c.value, f"$[{at}]", type_=Text).label(name)
            for at, name in enumerate(names)
        ),
        (source.c.key + 1).label("position"),
    ).subquery()


def among(db: Connection, values: ColumnElement[str], texts: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a value is one of `texts`, of which there may be any number."""
    if db.dialect.name == "postgresql":
        return values == func.any(literal(list(texts), ARRAY(Text)))
    source = func.json_each(literal(json.dumps(list(texts)), Text)).table_valued("value")
    return values.in_(select(source.c.value))
