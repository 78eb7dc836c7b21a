"""Makes, checks and drops the publication and the slot of a PostgreSQL source.

The publication comes first: a slot cannot read a log that is older than its publication.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from semilayer_pipelines.bridges.postgres_names import quoted
from semilayer_pipelines.config.sizes import size_told
from semilayer_pipelines.follow.feed import Finding, Watched
from semilayer_pipelines.follow.logical.server import Publication, Server, SourceTable

__all__ = ["LogicalSetup"]

OLDEST = 130000
"""PostgreSQL 13: the first with `publish_via_partition_root`."""

_RIGHTS = """
SELECT rolsuper OR rolreplication, rolsuper,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), rolname,
       pg_catalog.pg_is_in_recovery()
FROM pg_catalog.pg_roles WHERE rolname = current_user
"""
_MANAGED = "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'rds_replication'"
_MANAGED_RIGHT = "SELECT pg_catalog.pg_has_role('rds_replication', 'MEMBER')"
_PUBLISH = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
# Without them, PostgreSQL 18 refuses each UPDATE of a table whose old rows are told by them.
_PUBLISH_18 = f"{_PUBLISH}, publish_generated_columns = stored"


class LogicalSetup:
    """A `Setup` of the publication and the slot called `name`, for the watched tables."""

    def __init__(self, server: Server, name: str, watched: Watched) -> None:
        self._server, self._name, self._watched = server, name, watched

    def findings(self) -> tuple[Finding, ...]:
        """Look at the server, the role's rights, the tables, the publication and the slot."""
        return (*self._of_server(), *self._of_tables(), *self._of_publication(), *self._of_slot())

    def to_install(self) -> tuple[str, ...]:
        """Return what makes the publication and the slot, or brings them up to date."""
        tables = self._server.tables(self._watched)
        wanted = {
            (table.schema, table.name): None
            for name, table in tables.items()
            if table.can_be_published
            and not self._wrong(name, table)
            and not _under_another(table, tables.values())
        }
        statements = list(self._publishing(self._server.publication(self._name), [*wanted]))
        if self._server.slot(self._name) is None:
            made = f"SELECT pg_create_logical_replication_slot('{self._name}', 'pgoutput')"
            statements.append(made)
        return tuple(statements)

    def to_uninstall(self) -> tuple[str, ...]:
        """Return what drops the slot and the publication, as far as they are there."""
        statements = []
        if (slot := self._server.slot(self._name)) is not None:
            if slot.active_pid is not None:
                statements.append(f"SELECT pg_terminate_backend({slot.active_pid})")
            statements.append(f"SELECT pg_drop_replication_slot('{self._name}')")
        if self._server.publication(self._name) is not None:
            statements.append(f'DROP PUBLICATION "{self._name}"')
        return tuple(statements)

    def run(self, statements: Sequence[str]) -> None:
        """Run statements of these."""
        for statement in statements:
            if "pg_drop_replication_slot" in statement:
                self._server.drop_slot(self._name)  # waits until its reader has gone
            else:
                self._server.session.rows(statement)

    def close(self) -> None:
        """Give the connection back."""
        self._server.close()

    def _publishing(
        self, there: Publication | None, wanted: Sequence[tuple[str, str]]
    ) -> Iterator[str]:
        name = f'"{self._name}"'
        publish = _PUBLISH_18 if self._server.tells_generated else _PUBLISH
        if there is None:
            # Without a table it tells nothing, and the slot is of use from the first one on.
            tables = f" FOR TABLE {_named(wanted)}" if wanted else ""
            yield f"CREATE PUBLICATION {name}{tables} WITH ({publish})"
            return
        if not there.tells_all or not there.via_root:
            yield f"ALTER PUBLICATION {name} SET ({publish})"
        if there.all_tables:
            return
        if new := [table for table in wanted if table not in there.tables]:
            yield f"ALTER PUBLICATION {name} ADD TABLE {_named(new)}"
        if old := [table for table in there.tables if table not in wanted]:
            yield f"ALTER PUBLICATION {name} DROP TABLE {_named(old)}"

    def _of_server(self) -> Iterator[Finding]:
        server = self._server
        if (version := server.session.version) < OLDEST:
            yield Finding(
                f"PostgreSQL {version // 10_000} is too old to be followed by its log.",
                "Upgrade to 13 or newer, or take `cdc: outbox`.",
                stops=True,
            )
        if (level := server.setting("wal_level")) != "logical":
            yield Finding(
                f"The server's wal_level is {level}, so its log cannot be decoded.",
                "ALTER SYSTEM SET wal_level = 'logical', and restart the server; or take "
                "`cdc: outbox`.",
                stops=True,
            )
        [(replicates, above_all, creates, role, standby)] = server.session.rows(_RIGHTS)
        if standby:
            yield Finding(
                "The server is a standby, where nothing can be installed.",
                "Let the source's connection name the primary.",
                stops=True,
            )
        if not replicates and not self._managed():
            yield Finding(
                f"The role {role} may not replicate.",
                f'ALTER ROLE "{role}" REPLICATION; on Amazon RDS, GRANT rds_replication TO '
                f'"{role}".',
                stops=True,
            )
        if not creates and not above_all and server.publication(self._name) is None:
            yield Finding(
                f"The role {role} may not create in this database.",
                f'GRANT CREATE ON DATABASE … TO "{role}", or have its owner run what '
                "`semilayer cdc install --dry-run` prints.",
                stops=True,
            )
        if server.setting("max_slot_wal_keep_size") == "-1":
            yield Finding(
                "The server keeps log for a slot without a limit while nobody follows.",
                "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB', above maxSlotBytes, as the "
                "last line of defence.",
                stops=False,
            )

    def _managed(self) -> bool:
        session = self._server.session
        return bool(session.rows(_MANAGED)) and bool(session.rows(_MANAGED_RIGHT)[0][0])

    def _of_tables(self) -> Iterator[Finding]:
        tables = self._server.tables(self._watched)
        publication = self._server.publication(self._name)
        published = {} if publication is None else publication.tables
        for name, table in ((name, tables.get(name)) for name in self._watched):
            if table is None:
                yield Finding(
                    f"There is no table {name}.", "Correct the lens, and push it.", stops=False
                )
            elif under := _under_another(table, tables.values()):
                yield under
            elif wrong := self._wrong(name, table):
                # One that is published already must not keep others from being followed.
                there = (table.schema, table.name) in published
                yield replace(wrong, stops=wrong.stops and not there)

    def _wrong(self, name: str, table: SourceTable) -> Finding | None:
        key = self._watched[name]
        shown = f"{table.schema}.{table.name}"
        if not table.can_be_published:
            what = "is not logged" if table.kind in ("r", "p") else "is no table"
            return Finding(
                f"{shown} {what}, so no log tells of its rows.",
                "Give its lenses a syncInterval, or a smartSyncInterval alone.",
                stops=False,
            )
        if table.has_heirs:
            return Finding(
                f"Other tables inherit from {shown}. They would be published with it, and the log "
                "tells their changes under their own names.",
                "Take `cdc: outbox`, which follows them, too.",
                stops=True,
            )
        if table.silent:
            return Finding(
                f"{shown}, or a partition of it, has nothing that tells an old row (REPLICA "
                "IDENTITY). Published, every UPDATE and DELETE of it would fail.",
                "Give it a primary key, or take `cdc: outbox`."
                if table.kind == "p"
                else f"ALTER TABLE {_named([(table.schema, table.name)])} REPLICA IDENTITY FULL, "
                "or give it a primary key.",
                stops=True,
            )
        if table.refuses:
            return Finding(
                f"{shown} has virtual columns and REPLICA IDENTITY FULL. Published, every UPDATE "
                "and DELETE of it would fail.",
                f"ALTER TABLE {_named([(table.schema, table.name)])} REPLICA IDENTITY DEFAULT with "
                "a primary key, or take `cdc: outbox`.",
                stops=True,
            )
        if untold := table.untold & set(key):
            return Finding(
                f"Before PostgreSQL 18 the log leaves generated columns of {shown} out, and the "
                f"key of the lens has one ({', '.join(sorted(untold))}).",
                "Take `cdc: outbox`.",
                stops=True,
            )
        if not table.identity.issuperset(key):
            return Finding(
                f"The log would not tell which row of {shown} was deleted: its REPLICA IDENTITY "
                f"does not have the key of the lens ({', '.join(key)}).",
                f"ALTER TABLE {_named([(table.schema, table.name)])} REPLICA IDENTITY USING INDEX "
                "…, a unique index on these columns; or REPLICA IDENTITY FULL.",
                stops=True,
            )
        if not table.owned:
            return Finding(
                f"Only the owner of {shown} may publish it.",
                "Have the owner run what `semilayer cdc install --dry-run` prints.",
                stops=True,
            )
        return None

    def _of_publication(self) -> Iterator[Finding]:
        publication = self._server.publication(self._name)
        if publication is None:
            return
        for (schema, table), leaves_out in publication.tables.items():
            if leaves_out:
                yield Finding(
                    f"The publication leaves rows of {schema}.{table} out; their changes are not "
                    "told.",
                    f'ALTER PUBLICATION "{self._name}" SET TABLE … without WHERE. A lens has a '
                    "`where` of its own.",
                    stops=False,
                )

    def _of_slot(self) -> Iterator[Finding]:
        slot = self._server.slot(self._name)
        if slot is not None and slot.lost:
            yield Finding(
                "The server gave the slot up, because it kept too much log.",
                "Start `semilayer follow`: it makes another one and queues smart syncs.",
                stops=False,
            )
        elif slot is not None and slot.active_pid is None:
            yield Finding(
                f"Nobody reads the slot, which keeps {size_told(slot.kept_bytes)} of log.",
                "Start `semilayer follow`, or drop the slot: `semilayer cdc uninstall`.",
                stops=False,
            )


def _under_another(table: SourceTable, others: Iterable[SourceTable]) -> Finding | None:
    whole = next((one for one in others if one.oid in table.part_of), None)
    if whole is None:
        return None
    shown, of_it = f"{table.schema}.{table.name}", f"{whole.schema}.{whole.name}"
    return Finding(
        f"{shown} is a partition of {of_it}, which a lens reads, too. The log would tell its "
        f"changes as those of {of_it} alone.",
        f"Take `cdc: outbox`, which follows both; or let the lens of {shown} read {of_it} with a "
        "`where`.",
        stops=True,
    )


def _named(tables: Sequence[tuple[str, str]]) -> str:
    return ", ".join(quoted(*table) for table in tables)
