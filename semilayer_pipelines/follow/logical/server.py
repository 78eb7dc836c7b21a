"""A PostgreSQL server as logical replication sees it: its slot, its publication, its tables.

Everything here is SQL over one session. The log itself is read in `stream`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from semilayer_pipelines.bridges.database import split_name
from semilayer_pipelines.bridges.postgres_names import quoted
from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from semilayer_pipelines.follow.postgres import Session

__all__ = ["LogEnd", "Publication", "Server", "Slot", "SourceTable", "lsn_text"]

_LEAVE_SECONDS = 5.0

_SLOT = """
SELECT wal_status, active_pid, confirmed_flush_lsn - '0/0'::pg_lsn, database = current_database(),
       coalesce(pg_current_wal_lsn() - coalesce(restart_lsn, confirmed_flush_lsn), 0)
FROM pg_catalog.pg_replication_slots WHERE slot_name = %s
"""
_PUBLICATION = """
SELECT oid::text, pubinsert AND pubupdate AND pubdelete AND pubtruncate AND {generated},
       pubviaroot, puballtables
FROM pg_catalog.pg_publication WHERE pubname = %s
"""
_PUBLISHED = """
SELECT t.schemaname, t.tablename, {filter}, coalesce(r.oid::text, '')
FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_tables t USING (pubname)
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
WHERE p.oid = %s::oid
"""
_TABLE = """
SELECT n.nspname, c.relname, c.relkind::text, c.relreplident::text, c.relpersistence::text,
       pg_catalog.pg_has_role(c.relowner, 'USAGE'), c.oid::text,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = c.oid),
       EXISTS (SELECT FROM pg_catalog.pg_index i
               WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate),
       ARRAY(SELECT relid::oid::text FROM pg_catalog.pg_partition_ancestors(c.oid) relid
             WHERE relid <> c.oid),
       ARRAY(SELECT g.attname::text FROM pg_catalog.pg_attribute g
             WHERE g.attrelid = c.oid AND g.attgenerated = 's' AND NOT g.attisdropped),
       EXISTS (SELECT FROM pg_catalog.pg_attribute g
               WHERE g.attrelid = c.oid AND g.attgenerated = 'v' AND NOT g.attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%s)
"""
_LEAVES = """
SELECT c.oid::text, c.relfilenode::text, c.relreplident::text,
       EXISTS (SELECT FROM pg_catalog.pg_index i
               WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate)
FROM pg_catalog.pg_partition_tree(%s::oid) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
WHERE t.isleaf ORDER BY c.oid
"""
_LOG_END = """
SELECT system_identifier::text, pg_catalog.pg_current_wal_lsn() - '0/0'::pg_lsn
FROM pg_catalog.pg_control_system()
"""
_TIMELINE = """
SELECT left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)
"""
_IDENTITY = """
SELECT a.attname
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
WHERE c.oid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped AND (
    c.relreplident = 'f'
    OR EXISTS (SELECT FROM pg_catalog.pg_index i
               WHERE i.indrelid = c.oid AND i.indimmediate
                 AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                 AND CASE c.relreplident WHEN 'd' THEN i.indisprimary
                                         WHEN 'i' THEN i.indisreplident END))
"""


@dataclass(frozen=True)
class LogEnd:
    """Which server's log it is, where it ends, and on which timeline; empty where that is not told.

    Another timeline begins where a standby takes over, or a backup is restored.
    """

    server: str
    lsn: int
    timeline: str


@dataclass(frozen=True)
class Slot:
    """A replication slot: whether the server gave it up, who reads it, how much log it keeps."""

    lost: bool
    active_pid: int | None
    confirmed: int
    of_this_database: bool
    kept_bytes: int


@dataclass(frozen=True)
class Publication:
    """A publication; `tables` are its tables, True for those of which it leaves rows out.

    `id` is another one when it was made again. So is what `entries` has of a table that was taken
    out and put back; it is empty where the publication does not name the table itself.
    """

    id: str
    tells_all: bool
    via_root: bool
    all_tables: bool
    tables: Mapping[tuple[str, str], bool]
    entries: Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class SourceTable:
    """A table that a lens names.

    `identity` are the columns that tell an old row. `silent` says that an UPDATE of it would fail
    once it is published: it has nothing to tell old rows by, or a partition of it, or one that is
    made later. `has_heirs`: tables inherit from it that are no partitions. `stamp` changes when it
    is another table, or a partition of it was truncated, attached or detached. `part_of` are the
    `oid`s of the tables that it is a partition of. `untold` are columns that the log leaves out.
    `refuses`: with virtual columns and REPLICA IDENTITY FULL, an UPDATE would fail, too.
    """

    oid: str
    part_of: frozenset[str]
    schema: str
    name: str
    kind: str
    logged: bool
    owned: bool
    identity: frozenset[str]
    silent: bool
    has_heirs: bool
    stamp: str
    untold: frozenset[str]
    refuses: bool

    @property
    def can_be_published(self) -> bool:
        """Say whether its log can be followed: a table that is logged, and no view."""
        return self.kind in ("r", "p") and self.logged


def lsn_text(lsn: int) -> str:
    """Return a log position as the server writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


class Server:
    """What following asks of a server, and what it makes and drops there. Raises as `Session`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def slot(self, name: str) -> Slot | None:
        """Return a slot, `None` when there is none of that name."""
        for status, pid, confirmed, ours, kept in self.session.rows(_SLOT, [name]):
            return Slot(status == "lost", pid, int(confirmed or 0), bool(ours), int(kept))
        return None

    def create_slot(self, name: str) -> int:
        """Make a slot; return the position from which on it tells everything.

        Waits for transactions that write, as long as a statement may take.
        """
        made = "SELECT lsn - '0/0'::pg_lsn FROM pg_create_logical_replication_slot(%s, 'pgoutput')"
        try:
            [(lsn,)] = self.session.rows(made, [name])
        except SourceUnreachable as error:
            raise SourceUnreachable(
                f"source {self.session.source!r}: no slot could be made yet. {error.message}",
                cure="A slot begins when the transactions that write have ended: look for one "
                "that stays open in pg_stat_activity.",
            ) from None
        return int(lsn)

    def drop_slot(self, name: str) -> None:
        """Drop a slot if it is there; whoever reads it is sent away."""
        slots = "pg_catalog.pg_replication_slots WHERE slot_name = %s"
        reader = f"SELECT pg_terminate_backend(active_pid) FROM {slots} AND active_pid IS NOT NULL"
        until = time.monotonic() + _LEAVE_SECONDS
        while self.session.rows(reader, [name]) and time.monotonic() < until:
            time.sleep(0.05)
        self.session.rows(f"SELECT pg_drop_replication_slot(slot_name) FROM {slots}", [name])

    @property
    def tells_generated(self) -> bool:
        """Say whether it can publish generated columns, which are stored."""
        return self.session.version >= 180000

    def publication(self, name: str) -> Publication | None:
        """Return a publication, `None` when there is none of that name."""
        generated = "pubgencols = 's'" if self.tells_generated else "true"
        found = self.session.rows(_PUBLICATION.format(generated=generated), [name])
        if not found:
            return None
        [(oid, tells_all, via_root, all_tables)] = found
        # Row filters came with PostgreSQL 15.
        leaves_out = "t.rowfilter IS NOT NULL" if self.session.version >= 150000 else "false"
        rows = self.session.rows(_PUBLISHED.format(filter=leaves_out), [oid])
        tables = {(schema, table): bool(left) for schema, table, left, _ in rows}
        entries = {(schema, table): str(entry) for schema, table, _, entry in rows}
        return Publication(oid, tells_all, via_root, all_tables, tables, entries)

    def table(self, name: str) -> SourceTable | None:
        """Return a table by the name that a lens writes, `None` when there is none."""
        for schema, table in split_name(name):
            for row in self.session.rows(_TABLE, [quoted(schema, table)]):
                return self._described(*row)
        return None

    def _described(
        self,
        schema: str,
        table: str,
        kind: str,
        identity: str,
        persistence: str,
        owned: bool,
        oid: str,
        has_heirs: bool,
        has_key: bool,
        part_of: list[str],
        generated: list[str],
        has_virtual: bool,
    ) -> SourceTable:
        columns = frozenset(str(name) for (name,) in self.session.rows(_IDENTITY, [oid]))
        silent, stamp = not columns, oid
        told_whole = identity == "f"
        if kind == "p":
            leaves = self.session.rows(_LEAVES, [oid])
            # One that is made later has the primary key of the whole, and no other identity.
            mute = [told == "n" or (told == "d" and not key) for _, _, told, key in leaves]
            silent = silent or not has_key or any(mute)
            told_whole = told_whole or any(told == "f" for _, _, told, _ in leaves)
            stamp = " ".join([oid, *(f"{leaf}:{node}" for leaf, node, _, _ in leaves)])
        return SourceTable(
            oid,
            frozenset(part_of),
            schema,
            table,
            kind,
            persistence == "p",
            owned,
            columns,
            silent,
            has_heirs,
            stamp,
            frozenset() if self.tells_generated else frozenset(generated),
            told_whole and has_virtual,
        )

    def tables(self, names: Iterable[str]) -> dict[str, SourceTable]:
        """Return those of these tables that are there, by the names that lenses write."""
        found = {name: self.table(name) for name in names}
        return {name: table for name, table in found.items() if table is not None}

    def setting(self, name: str) -> str:
        """Return a setting of the server; empty where it has none of that name."""
        [(value,)] = self.session.rows("SELECT pg_catalog.current_setting(%s, true)", [name])
        return str(value or "")

    def size_behind(self, lsn: int) -> int:
        """Return how many bytes of log were written after a position."""
        ahead = "SELECT pg_catalog.pg_current_wal_lsn() - '0/0'::pg_lsn"
        [(now,)] = self.session.rows(ahead)
        return max(0, int(now) - lsn)

    def log_end(self) -> LogEnd:
        """Return where its log ends now."""
        [(server, lsn)] = self.session.rows(_LOG_END)
        try:
            [(timeline,)] = self.session.rows(_TIMELINE)
        except SourceRefused:  # by a server that keeps its log in another way, such as Aurora's
            timeline = ""
        return LogEnd(server, int(lsn), timeline)

    def close(self) -> None:
        """Give the connection back."""
        self.session.close()
