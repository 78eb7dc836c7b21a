"""The table of a lens with the tables that it joins: what fields may name, and what is read.

Every mistake in `joins` is told here, with the key of the lens that it is in. A table that is
altered later is met in the same place, by the next job that opens the lens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from semilayer_pipelines.bridges.protocol import (
    NO_KEYS,
    Bridge,
    Column,
    HiddenRows,
    Join,
    Selection,
    Table,
)
from semilayer_pipelines.config.joins import JoinConfig
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import SchemaMismatch, about, nearest
from semilayer_pipelines.mapping.columns import tracking_columns_of

__all__ = ["LensTable", "lens_table", "used_joins"]

_TIMES = ("datetime", "date", "text")
"""Kinds of `updated_at` that compare with another table's; numbers of two tables do not."""


@dataclass(frozen=True)
class LensTable:
    """The table of a lens. `whole` has the columns of the joined tables too, as fields name them.

    `joins` are those that some field takes a column from.
    """

    config: LensConfig
    table: Table
    whole: Table
    joins: tuple[Join, ...]

    def selection(self, key: tuple[str, ...], columns: tuple[str, ...]) -> Selection:
        """Return the rows of the lens, with these columns of them."""
        return Selection(self.config.table, key, columns, where=self.config.where, joins=self.joins)

    def hidden(self, bridge: Bridge) -> HiddenRows | None:
        """Return why rows of one of the tables may be hidden, of the lens's own first."""
        return bridge.hides_rows(*self.selection((), ()).tables)


def lens_table(config: LensConfig, bridge: Bridge, *, unused: bool = False) -> LensTable:
    """Describe the tables of a lens, with `unused` those too that no field takes a column from.

    Raises `SchemaMismatch`, and what the bridge raises.
    """
    with about("table"):
        table = bridge.table(config.table)
    columns = list(table.columns)
    joins: list[Join] = []
    used = used_joins(config)
    for name, join in (config.joins if unused else used).items():
        with about(f"joins.{name}.table"):
            joined = bridge.table(join.table)
        _check_name(name, table, joined)
        _check_on(name, join, table, joined)
        _check_unique(name, join, joined, bridge.unique_keys(join.table))
        with about(f"joins.{name}.changeTrackingColumn"):
            tracked = _tracked(config, table, join, joined)
        made = Join(name, join.table, tuple(join.on.items()), tracked)
        columns += (
            replace(one, name=made.column(one.name), nullable=True) for one in joined.columns
        )
        if name in used:
            joins.append(made)
    return LensTable(config, table, replace(table, columns=tuple(columns)), tuple(joins))


def used_joins(config: LensConfig) -> dict[str, JoinConfig]:
    """Return the joins that some field takes a column from."""
    named = {
        column.partition(".")[0]
        for field in config.fields.values()
        for column in field.from_
        if "." in column
    }
    return {name: join for name, join in config.joins.items() if name in named}


def _refused(key: str, message: str, cure: str) -> SchemaMismatch:
    error = SchemaMismatch(message, cure=cure)
    error.key = key
    return error


def _check_name(name: str, table: Table, joined: Table) -> None:
    columns = {column.name for column in table.columns}
    clash = next(
        (one for one in (name, *(f"{name}.{c.name}" for c in joined.columns)) if one in columns),
        None,
    )
    if clash is not None:
        raise _refused(
            f"joins.{name}",
            f"Join {name!r}: table {table.name!r} has a column {clash!r}, so 'from' could mean "
            "either.",
            "Give the join another name.",
        )


def _check_on(name: str, join: JoinConfig, table: Table, joined: Table) -> None:
    for ours, theirs in join.on.items():
        key = f"joins.{name}.on.{ours}"
        mine, its = _column(key, ours, table), _column(key, theirs, joined)
        other = mine.kind == "other" and mine.database_type != its.database_type
        if mine.kind != its.kind or other or mine.kind in NO_KEYS:
            raise _refused(
                key,
                f"Join {name!r}: {table.name}.{ours} is {mine.database_type} and "
                f"{joined.name}.{theirs} is {its.database_type}, which do not compare.",
                "Join by columns of one type, or through a view of the lens's table that casts.",
            )


def _column(key: str, name: str, table: Table) -> Column:
    found = table.column(name)
    if found is None:
        names = [column.name for column in table.columns]
        raise _refused(
            key,
            f"Table {table.name!r} has no column {name!r}{nearest(name, names)}.",
            f"Columns: {', '.join(names)}.",
        )
    return found


def _check_unique(
    name: str, join: JoinConfig, joined: Table, keys: tuple[tuple[str, ...], ...]
) -> None:
    theirs = set(join.on.values())
    if any(theirs.issuperset(key) for key in keys):
        return
    listed = "; ".join(", ".join(key) for key in keys)
    raise _refused(
        f"joins.{name}.on",
        f"Join {name!r}: a row may have several rows in {joined.name!r}, because "
        f"{', '.join(sorted(theirs))} covers no unique key of it.",
        (f"Its unique keys: {listed}." if keys else "It has no unique key.")
        + " A row takes its values from one row: make a unique index, or join by another column.",
    )


def _tracked(config: LensConfig, table: Table, join: JoinConfig, joined: Table) -> tuple[str, ...]:
    own = tracking_columns_of(config, table)
    named = join.change_tracking_column
    if not own and named:
        raise SchemaMismatch(
            f"{', '.join(named)} of {joined.name!r} is to be tracked, and nothing is in the lens's "
            f"own table {table.name!r}.",
            cure="Name a 'changeTrackingColumn' of the lens, too. Smart sync needs neither.",
        )
    tracked = tracking_columns_of(join, joined)
    if not own or not tracked:
        return ()
    mine, its = table.column(own[0]), joined.column(tracked[0])
    assert mine is not None
    assert its is not None
    if mine.kind == its.kind and (named or its.kind in _TIMES):
        return tracked
    if not named:
        return ()
    raise SchemaMismatch(
        f"{tracked[0]!r} of {joined.name!r} is {its.database_type} and {own[0]!r} of "
        f"{table.name!r} is {mine.database_type}: there is no later of the two.",
        cure="Track columns of one type in both, or leave the join's out. Smart sync finds every "
        "change.",
    )
