"""An application's database with a table `products`, and a service that takes its changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.client.service import Service, serve
from tests.examples.workers import EXAMPLES, Index, dsn_of

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
