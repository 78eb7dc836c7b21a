"""The rows of a table with those that they join, as what stands behind FROM.

A joined table is a sub-select that names each of its columns anew. So nothing in it can be taken
for a column of the selection's own table: `where`, keys and orders stay as they are without joins.
Databases read such a sub-select as the table itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from semilayer_pipelines.bridges.database import Described, SourceColumn, split_name
from semilayer_pipelines.bridges.protocol import Join, Selection
from semilayer_pipelines.errors import SchemaMismatch, nearest

__all__ = ["JoinedTable", "joined_tables", "new_name"]


@dataclass(frozen=True)
class JoinedTable:
    """One joined table in a statement: `quoted` is its sub-select with the name of it.

    `on` is the condition by which its row is found. `columns` have the names that they have in the
    table; `matched` is one of them that is NULL only where there is no row.
    """

    join: Join
    quoted: str
    on: str
    columns: dict[str, SourceColumn]
    matched: SourceColumn

    @property
    def tracked(self) -> tuple[SourceColumn, ...]:
        """The columns that tell when a row changed."""
        return tuple(self.columns[name] for name in self.join.tracked)


def joined_tables(
    source: str,
    base: Described,
    selection: Selection,
    describe: Callable[[str], Described],
) -> tuple[JoinedTable, ...]:
    """Return the selection's joins; `source` is the source's name in messages.

    Raises `SchemaMismatch` for a table that is not there, or without a column by which it is
    joined. A selected column that it lacks is left out: who asks for it finds nothing.
    """
    prefix = new_name("joined", base)
    return tuple(
        _joined(source, base, selection, join, describe(join.table), f"{prefix}{number}")
        for number, join in enumerate(selection.joins)
    )


def new_name(wanted: str, base: Described) -> str:
    """Return a name with which no column of a table begins, and neither does the table's."""
    _, table = split_name(base.table.name)[-1]
    while any(name.lower().startswith(wanted) for name in (table, *base.columns)):
        wanted = f"{wanted}_"
    return wanted


def _joined(
    source: str, base: Described, selection: Selection, join: Join, table: Described, alias: str
) -> JoinedTable:
    on = tuple(name for _, name in join.on)
    selected = (name for name in table.columns if join.column(name) in selection.columns)
    names = [*dict.fromkeys((*on, *join.tracked, *selected))]
    _refuse_missing(source, selection.table, base, [name for name, _ in join.on])
    _refuse_missing(source, join.table, table, [*on, *join.tracked])
    columns = {
        name: table.columns[name].called(f"{alias}.{alias}_{number}")
        for number, name in enumerate(names)
    }
    listed = ", ".join(
        f"{table.columns[name].quoted} AS {alias}_{number}" for number, name in enumerate(names)
    )
    return JoinedTable(
        join,
        f"(SELECT {listed} FROM {table.quoted}) {alias}",
        # The joined column stands first: SQLite compares by the collation of what does.
        " AND ".join(
            f"{columns[theirs].quoted} = {base.columns[ours].quoted}" for ours, theirs in join.on
        ),
        columns,
        columns[on[0]],
    )


def _refuse_missing(source: str, name: str, table: Described, wanted: Sequence[str]) -> None:
    for column in wanted:
        if column not in table.columns:
            raise SchemaMismatch(
                f"source {source!r}: {name!r} has no column {column!r} "
                f"(joins){nearest(column, table.columns)}.",
                cure=f"Columns: {', '.join(table.columns)}.",
            )
