"""The condition by which a lens chooses rows, `Selection.where`, in the SQL of its source.

A person wrote it, so it is only ever used as one expression: in parentheses, or between the words
of a CASE, on lines of its own, so that a comment at its end reaches no further. `check` sees that
it is one.
"""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.database import Computed, Database, Described, Sql
from semilayer_pipelines.bridges.protocol import SHARD_COLUMN, Selection
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.errors import NotPermitted, SchemaMismatch, SourceRefused

__all__ = ["apart", "check", "holds", "told"]

TRIED_ROWS = 200

_THERE = "\0there"
_LIKE = "status = 'published' AND deleted_at IS NULL"


def holds(db: Database, selection: Selection) -> Sql | None:
    """Return the condition for a WHERE, where NULL counts as false; `None` without one."""
    if selection.where is None:
        return None
    return Sql("\n") + db.condition(selection.where) + Sql("\n")


def told(db: Database, selection: Selection) -> tuple[Computed, ...]:
    """Return the column that says whether a row is there, for `apart`; none without a condition."""
    condition = holds(db, selection)
    return () if condition is None else (Computed(_THERE, _as_number(condition)),)


def apart(frame: pl.DataFrame, key: tuple[str, ...]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the rows for which the condition was told to be true, and the key texts of the others.

    All rows are there where it was not told.
    """
    if _THERE not in frame.columns:
        return frame, ()
    there = pl.col(_THERE) == 1
    outside = key_texts(frame.filter(~there).drop(_THERE), key).to_list()
    return frame.filter(there).drop(_THERE), tuple(outside)


def check(db: Database, selection: Selection, table: Described) -> None:
    """Look whether the condition is one expression over the table; raises `SchemaMismatch`.

    Raises `NotPermitted` where the user may not read what it needs.

    The database judges. Text that would end the parentheses around it cannot stand in a CASE, and
    the other way round. Each statement has a parameter: then no server takes several at once.
    """
    condition = holds(db, selection)
    if condition is None:
        return
    text = _bare_text(selection, table)
    if text is not None:
        raise SchemaMismatch(
            f"'where' is no condition over {selection.table!r}: it is the text column {text!r}.",
            cure=f"Say which of its values rows have, such as {text} = 'published', or "
            f"{text} IS NOT NULL.",
        )
    value, no_row = _as_number(condition), Sql(f" LIMIT {db.mark}", (0,))
    some_rows = Sql(f" FROM {table.quoted} LIMIT {db.mark}", (TRIED_ROWS,))
    try:
        db.scalars(Sql(f"SELECT 1 FROM {table.quoted}") + st.both([condition]) + no_row)
        db.scalars(Sql(f"SELECT 1 FROM {table.quoted} WHERE 1 = ") + value + no_row)
        db.scalars(Sql("SELECT ") + value + some_rows)
    except NotPermitted:
        raise
    except (SchemaMismatch, SourceRefused) as error:
        raise SchemaMismatch(
            f"'where' is no condition over {selection.table!r}: {error.message}",
            cure=f"Write one expression over its columns, such as {_LIKE}, with texts in single "
            f"quotes. Columns: {', '.join(table.columns)}.",
        ) from None
    if _names_nothing(db, condition):
        raise SchemaMismatch(
            f"'where' names no column of {selection.table!r}, so it says the same of every row.",
            cure=f"Write a condition on its columns, such as {_LIKE}, or leave 'where' out. "
            f"Columns: {', '.join(table.columns)}.",
        )


def _bare_text(selection: Selection, table: Described) -> str | None:
    """Return the text column that is all there is of the condition.

    SQLite and MariaDB read a number from its values, and find no row. PostgreSQL refuses it.
    """
    bare = (selection.where or "").strip(' \t\n()"`[]').casefold()
    texts = (name for name, each in table.columns.items() if each.column.kind == "text")
    return next((name for name in texts if name.casefold() == bare), None)


def _as_number(condition: Sql) -> Sql:
    return Sql("CASE WHEN") + condition + Sql("THEN 1 ELSE 0 END")


def _names_nothing(db: Database, condition: Sql) -> bool:
    """Say whether the condition can be understood without its table."""
    nowhere = Sql(f"SELECT 1 FROM (SELECT 1 AS {SHARD_COLUMN}) nowhere")
    try:
        db.scalars(nowhere + st.both([condition]) + Sql(f" LIMIT {db.mark}", (0,)))
    except (SchemaMismatch, SourceRefused):
        return False
    return True
