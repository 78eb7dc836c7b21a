"""The tables whose changes an outbox notes, as they are in the database now.

A name may stand for several relations: a partitioned table has partitions, and another table may
inherit from it. Triggers of rows are cloned to partitions by the database, to heirs they are not;
triggers of TRUNCATE are never cloned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from semilayer_pipelines.bridges.database import split_name
from semilayer_pipelines.bridges.postgres_names import quoted
from semilayer_pipelines.follow.feed import Watched
from semilayer_pipelines.follow.outbox import sql
from semilayer_pipelines.follow.postgres import Session

__all__ = ["NotedTable", "Relation", "noted_tables"]

_FIND = "SELECT pg_catalog.to_regclass(%s)::oid"
_RELATIONS = """
WITH RECURSIVE tree AS (
    SELECT %s::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON tree.oid = i.inhparent
)
SELECT c.oid, pg_catalog.format('%%I.%%I', n.nspname, c.relname), c.relkind::text,
       c.relispartition AND c.oid <> %s::oid,
       pg_catalog.pg_has_role(c.relowner, 'USAGE'), pg_catalog.pg_get_userbyid(c.relowner),
       COALESCE(pg_catalog.has_function_privilege(
           c.relowner, pg_catalog.to_regprocedure(%s)::oid, 'EXECUTE'), false),
       ARRAY(SELECT g.tgname::text FROM pg_catalog.pg_trigger g
             JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
             JOIN pg_catalog.pg_namespace o ON o.oid = p.pronamespace
             WHERE g.tgrelid = c.oid AND g.tgenabled <> 'D'
               AND o.nspname = %s AND p.proname = %s)
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY c.oid
"""
_BODY = """
SELECT p.prosrc FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = %s AND p.proname = %s
"""
_COLUMNS = """
SELECT a.attname FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped
"""
# Whether some key within these columns is checked at each row, and whether one is checked later.
_KEYS = """
SELECT i.indimmediate FROM pg_catalog.pg_index i
WHERE i.indrelid = %s::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
  AND i.indexprs IS NULL
  AND NOT EXISTS (
      SELECT FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      WHERE k.place <= i.indnkeyatts AND a.attname <> ALL (%s))
"""


@dataclass(frozen=True)
class Relation:
    """A table, partition or heir; `name` is written as in SQL, `kind` as in `pg_class`.

    `is_clone`: its triggers of rows come from the partitioned table. `is_owned`: this user has the
    rights of its `owner`, who alone may have triggers fire always. `may_clone`: the owner may have
    triggers that call the function. `triggers` of ours are there and fire.
    """

    oid: int
    name: str
    kind: str
    is_clone: bool
    is_owned: bool
    owner: str
    may_clone: bool
    triggers: frozenset[str]


@dataclass(frozen=True)
class NotedTable:
    """A watched table: what stands for it in the database, none when it is not there.

    `missing` are columns that it does not have. `keys_move`: see `sql.note_function`.
    `body` is what the function that notes its changes does now, `None` without one.
    """

    table: str
    columns: tuple[str, ...]
    relations: tuple[Relation, ...]
    missing: tuple[str, ...]
    keys_move: bool
    body: str | None

    @property
    def can_be_noted(self) -> bool:
        """Say whether it is a table, with the columns that are to be noted."""
        return bool(self.relations) and self.relations[0].kind in "rp" and not self.missing

    def shape(self) -> str:
        """Return a text that is another one when rows may come or go without a trigger."""
        oids = ",".join(str(relation.oid) for relation in self.relations)
        return hashlib.sha256(oids.encode()).hexdigest()[:16]

    def function_left(self, name: str) -> tuple[str, ...]:
        """Return the statement that makes its function, none when it is as it should be."""
        made, body = sql.note_function(name, self.table, self.columns, keys_move=self.keys_move)
        return () if body == self.body else (made,)

    def grants_left(self, name: str) -> tuple[str, ...]:
        """Return the statements without which an owner could make no further partition."""
        owners = {one.owner for one in self.relations if one.kind == "p" and not one.may_clone}
        made = sql.function(name, self.table)
        return tuple(f"GRANT EXECUTE ON FUNCTION {made} TO {quoted(to)}" for to in sorted(owners))

    def triggers_left(self, name: str, *, of_rows: bool) -> tuple[str, ...]:
        """Return the statements that make the triggers which are not there, or do not fire."""
        called = sql.trigger_name(name, self.table, of_rows=of_rows)
        left: list[str] = []
        for relation in self.relations:
            if relation.kind not in "rp" or called in relation.triggers:
                continue
            if of_rows and relation.is_clone:
                left.append(f"ALTER TABLE {relation.name} ENABLE ALWAYS TRIGGER {quoted(called)}")
            else:
                left.append(sql.trigger(name, self.table, relation.name, of_rows=of_rows))
        return tuple(left)


def noted_tables(session: Session, name: str, watched: Watched) -> tuple[NotedTable, ...]:
    """Look at the watched tables, and at what the outbox called `name` has on them."""
    return tuple(_noted(session, name, table, columns) for table, columns in watched.items())


def _noted(session: Session, name: str, table: str, columns: Sequence[str]) -> NotedTable:
    oid = _oid(session, table)
    function = sql.function_name(table)
    body = session.rows(_BODY, (name, function))
    if oid is None:
        return NotedTable(table, tuple(columns), (), (), keys_move=False, body=None)
    rows = session.rows(_RELATIONS, (oid, oid, sql.function(name, table), name, function))
    relations = [
        Relation(int(one), called, kind, is_clone, owned, owner, may, frozenset(triggers))
        for one, called, kind, is_clone, owned, owner, may, triggers in rows
    ]
    relations.sort(key=lambda relation: relation.oid != oid)  # what was named comes first
    there = {row[0] for row in session.rows(_COLUMNS, (oid,))}
    keys = {row[0] for row in session.rows(_KEYS, (oid, list(columns)))}
    return NotedTable(
        table,
        tuple(columns),
        tuple(relations),
        tuple(column for column in columns if column not in there),
        keys_move=keys != {True},
        body=body[0][0] if body else None,
    )


def _oid(session: Session, table: str) -> int | None:
    for schema, name in split_name(table):
        written = quoted(schema, name)
        found = session.rows(_FIND, (written,))[0][0]
        if found is not None:
            return int(found)
    return None
