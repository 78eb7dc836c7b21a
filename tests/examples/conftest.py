"""An application's database with a table `products`, and a service that takes its changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.client.service import Service, serve
from tests.examples.workers import EXAMPLES, Index, dsn_of, eventually

TABLE = "CREATE TABLE products (id integer PRIMARY KEY, version bigint NOT NULL)"


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that answers every call with a receipt until told otherwise."""
    with serve() as running:
        yield running


@pytest.fixture
def errors(tmp_path: Path) -> Path:
    """Where a worker's words go."""
    return tmp_path / "stderr"


@pytest.fixture
def outbox(postgres_database: str, service: Service) -> Iterator[Index]:
    """A database with the outbox; the service applies what it acknowledges."""
    dsn = dsn_of(servers.emptied(postgres_database))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute((EXAMPLES / "cdc_outbox/setup.sql").read_text())
        connection.execute("SELECT semilayer_watch('products', 'products', 'id')")
        index = Index(connection)
        service.on_acknowledged = index.apply
        yield index


@pytest.fixture
def replicated(service: Service) -> Iterator[Index]:
    """A database whose log is decoded; the service applies what it acknowledges."""
    setup = (EXAMPLES / "cdc_logical_replication/setup.sql").read_text()
    with (
        servers.database(servers.logical_postgres_url()) as url,
        psycopg.connect(dsn_of(url), autocommit=True) as connection,
    ):
        connection.execute(TABLE)
        for statement in setup.split(";\n"):  # a slot cannot be made in a transaction that wrote
            connection.execute(statement)
        index = Index(connection)
        service.on_acknowledged = index.apply
        yield index
        # A server does not drop a database that a slot belongs to, nor a slot in use.
        connection.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active"
        )
        assert eventually(lambda: _dropped(connection))


def _dropped(connection: psycopg.Connection) -> bool:
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
    )
    return connection.execute("SELECT FROM pg_replication_slots").fetchone() is None
