"""Installs, checks and takes away the outbox of a PostgreSQL source."""

from __future__ import annotations

from collections.abc import Sequence

from semilayer_pipelines.bridges.postgres_names import quoted
from semilayer_pipelines.errors import SourceLocked, SourceUnreachable
from semilayer_pipelines.follow.feed import Finding, Watched
from semilayer_pipelines.follow.outbox import sql
from semilayer_pipelines.follow.outbox.tables import NotedTable, noted_tables
from semilayer_pipelines.follow.postgres import Session

__all__ = ["OutboxSetup"]

_WHERE = """
SELECT current_user::text, pg_catalog.pg_is_in_recovery(),
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
       pg_catalog.to_regnamespace(%s) IS NOT NULL,
       pg_catalog.to_regclass(%s) IS NOT NULL
"""
_MAY_DRAIN = """
SELECT pg_catalog.has_schema_privilege(%s, 'USAGE')
   AND pg_catalog.has_table_privilege(%s, 'SELECT') AND pg_catalog.has_table_privilege(%s, 'DELETE')
"""
_LOCK_MS = 2_000
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


class OutboxSetup:
    """A `Setup`: the outbox called `name`, a schema of its own, and triggers on watched tables."""

    def __init__(self, session: Session, name: str, watched: Watched) -> None:
        self._session = session
        self._name = name
        self._watched = watched

    def findings(self) -> tuple[Finding, ...]:
        """Look at the server, at rights and at tables."""
        _, standby, may_create, is_there, _ = self._state()
        found: list[Finding] = []
        if standby:
            found.append(
                Finding(
                    "It is a standby, where no trigger can be made.",
                    "Name the primary server in the source's connection.",
                    stops=True,
                )
            )
        if not may_create and not is_there:
            found.append(
                Finding(
                    "This user may not create a schema.",
                    "GRANT CREATE ON DATABASE … TO …, or have an administrator run what "
                    "`semilayer cdc install --dry-run` prints.",
                    stops=True,
                )
            )
        for table in self._tables():
            found += self._findings_of(table)
        return tuple(found)

    def to_install(self) -> tuple[str, ...]:
        """Return the statements that are left to run."""
        user, _, _, _, is_there = self._state()
        left: list[str] = []
        if not is_there or not self._may_drain():
            left += sql.create_outbox(self._name, user)
        for table in self._tables():
            if table.can_be_noted:
                left += table.function_left(self._name)
                left += table.grants_left(self._name)
                left += table.triggers_left(self._name, of_rows=True)
                left += table.triggers_left(self._name, of_rows=False)
        return tuple(left)

    def to_uninstall(self) -> tuple[str, ...]:
        """Return the statement that drops the outbox and every trigger that writes to it."""
        is_there = self._state()[3]
        return (sql.drop_outbox(self._name),) if is_there else ()

    def run(self, statements: Sequence[str]) -> None:
        """Run statements, each in a transaction of its own.

        A trigger waits for those who write to its table, and whoever writes next waits for it. So
        it gives up soon.
        """
        for statement in statements:
            try:
                self._session.rows(f"SET LOCAL lock_timeout = {_LOCK_MS}; {statement}")
            except SourceLocked:
                raise SourceUnreachable(
                    f"source {self._session.source!r}: a transaction has a table that is to be "
                    f"followed, for longer than {_LOCK_MS} ms. Nobody was kept waiting any longer.",
                    cure="Run it again, it goes on from there; or look in pg_stat_activity for a "
                    "transaction that stays open.",
                ) from None

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _state(self) -> tuple[str, bool, bool, bool, bool]:
        """Return the user, and whether it is a standby, may create, has the schema and table."""
        schema = quoted(self._name)
        user, standby, may_create, has_schema, has_table = self._session.rows(
            _WHERE, (schema, f"{schema}.changes")
        )[0]
        return user, standby, may_create, has_schema, has_table

    def _may_drain(self) -> bool:
        outbox = f"{quoted(self._name)}.changes"
        return bool(self._session.rows(_MAY_DRAIN, (self._name, outbox, outbox))[0][0])

    def _tables(self) -> tuple[NotedTable, ...]:
        return noted_tables(self._session, self._name, self._watched)

    def _findings_of(self, table: NotedTable) -> list[Finding]:
        where = repr(table.table)
        if not table.relations:
            return [Finding(f"{where} is not there.", "Correct the lens's 'table'.", stops=True)]
        if table.missing:
            names = ", ".join(map(repr, table.missing))
            cure = "Correct the lens's 'primaryKey'."
            return [Finding(f"{where} has no column {names}.", cure, stops=True)]
        first = table.relations[0]
        if first.kind in _KINDS:
            return [
                Finding(
                    f"{where} is {_KINDS[first.kind]}: nothing tells of its changes.",
                    "Keep its lenses in sync with 'syncInterval' and 'smartSyncInterval'.",
                    stops=False,
                )
            ]
        found: list[Finding] = []
        closed = [one.name for one in table.relations if one.kind in "rp" and not one.is_owned]
        if closed and self._is_left(table):
            found.append(
                Finding(
                    f"{where}: this user may not make triggers on {', '.join(closed[:5])}.",
                    "Its owner may: have the owner, or an administrator, run what `semilayer cdc "
                    "install --dry-run` prints.",
                    stops=True,
                )
            )
        foreign = [one.name for one in table.relations if one.kind == "f"]
        if foreign:
            found.append(
                Finding(
                    f"{where}: what changes on another server behind {', '.join(foreign[:5])} "
                    "fires no trigger.",
                    "Keep 'smartSyncInterval' short: it finds such changes.",
                    stops=False,
                )
            )
        return found

    def _is_left(self, table: NotedTable) -> bool:
        """Say whether something is left to make that takes more than this user's own rights."""
        triggers = (table.triggers_left(self._name, of_rows=rows) for rows in (True, False))
        return any(triggers) or bool(table.grants_left(self._name))
