"""The SQL of paging: key ranges, orders and shard numbers, as text with placeholders.

Pure functions over quoted names. Values are always placeholders and names always come quoted from
the database's own preparer, so nothing here can be injected into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Database, SourceColumn, Sql

__all__ = [
    "after",
    "all_of",
    "any_of",
    "apart",
    "both",
    "complete",
    "one_of",
    "order_by",
    "shard_number",
    "tail",
    "upto",
]


def both(conditions: Iterable[Sql | None]) -> Sql:
    """Return ` WHERE ... AND ...` of the conditions there are, or nothing."""
    present = [condition for condition in conditions if condition is not None]
    if not present:
        return Sql("")
    return Sql(
        " WHERE " + " AND ".join(f"({c.text})" for c in present),
        tuple(param for c in present for param in c.params),
    )


def all_of(conditions: Sequence[Sql]) -> Sql:
    """Return that every condition holds."""
    return _joined(conditions, " AND ")


def any_of(conditions: Sequence[Sql]) -> Sql:
    """Return that one of the conditions holds."""
    return _joined(conditions, " OR ")


def apart(conditions: Sequence[Sql]) -> list[Sql]:
    """Return conditions of which no row meets two, and that together hold where these do."""
    found = [*conditions[:1]]
    for i, one in enumerate(conditions[1:], 1):
        before = Sql("CASE WHEN ") + any_of(conditions[:i]) + Sql(" THEN 1 ELSE 0 END = 0")
        found.append(all_of([one, before]))
    return found


def _joined(conditions: Sequence[Sql], word: str) -> Sql:
    if len(conditions) == 1:
        return conditions[0]
    return Sql(
        word.join(f"({c.text})" for c in conditions),
        tuple(param for c in conditions for param in c.params),
    )


def order_by(columns: Sequence[SourceColumn], *, descending: bool = False) -> Sql:
    """Return ` ORDER BY` the columns."""
    direction = " DESC" if descending else ""
    return Sql(" ORDER BY " + ", ".join(f"{column.order}{direction}" for column in columns))


def tail(
    rows: Sql,
    order: Sequence[SourceColumn],
    conditions: Sequence[Sql | None],
    limit: int | None,
) -> Sql:
    """Return what comes behind the selected columns: ` FROM` the rows and so on."""
    found = Sql(" FROM ") + rows + both(conditions)
    if order:
        found += order_by(order)
    return found if limit is None else found + Sql(f" LIMIT {limit}")


def complete(columns: Sequence[SourceColumn]) -> Sql | None:
    """Return the condition that no column is NULL; `None` when none can be."""
    nullable = [c.quoted for c in columns if c.column.nullable]
    return Sql(" AND ".join(f"{name} IS NOT NULL" for name in nullable)) if nullable else None


def after(db: Database, columns: Sequence[SourceColumn], values: Sequence[Scalar]) -> Sql:
    """Return the condition that a row comes strictly after `values` in the order of `columns`."""
    return _range(db, columns, values, ">", ">")


def upto(db: Database, columns: Sequence[SourceColumn], values: Sequence[Scalar]) -> Sql:
    """Return the condition that a row comes at or before `values`."""
    return _range(db, columns, values, "<", "<=")


def _range(
    db: Database,
    columns: Sequence[SourceColumn],
    values: Sequence[Scalar],
    strictly: str,
    finally_: str,
) -> Sql:
    if len(columns) != len(values):
        raise ValueError(f"a cursor of {len(values)} values for {len(columns)} columns")
    if len(columns) == 1:
        return Sql(f"{columns[0].order} {finally_} {db.mark}", tuple(values))
    if db.row_values:
        names = ", ".join(column.order for column in columns)
        marks = ", ".join(db.mark for _ in columns)
        return Sql(f"({names}) {finally_} ({marks})", tuple(values))
    # MariaDB turns this disjunction into one index range; a row value it would scan.
    cases = []
    for i, column in enumerate(columns):
        sign = finally_ if i == len(columns) - 1 else strictly
        equal = [f"{c.order} = {db.mark}" for c in columns[:i]]
        text = " AND ".join([*equal, f"{column.order} {sign} {db.mark}"])
        cases.append(Sql(f"({text})", tuple(values[: i + 1])))
    return Sql(" OR ".join(c.text for c in cases), tuple(p for c in cases for p in c.params))


def one_of(
    db: Database, columns: Sequence[SourceColumn], rows: Sequence[tuple[Scalar, ...]]
) -> Sql:
    """Return the condition that the columns equal one of `rows`."""
    params = tuple(value for row in rows for value in row)
    if len(columns) == 1:
        return Sql(f"{columns[0].order} IN ({', '.join(db.mark for _ in rows)})", params)
    equal = " AND ".join(f"{column.order} = {db.mark}" for column in columns)
    # In parts: SQLite takes no expression of 1,000 one in the other.
    parts = (len(rows[start : start + 50]) for start in range(0, len(rows), 50))
    either = (" OR ".join([f"({equal})"] * part) for part in parts)
    return Sql(" OR ".join(f"({part})" for part in either), params)


def shard_number(
    db: Database, columns: Sequence[SourceColumn], bounds: Sequence[tuple[Scalar, ...]]
) -> Sql:
    """Return the expression for the number of the shard a row is in."""
    statement = Sql("CASE")
    for number, bound in enumerate(bounds):
        statement += Sql(" WHEN ") + upto(db, columns, bound) + Sql(f" THEN {number}")
    return statement + Sql(f" ELSE {len(bounds)} END")
