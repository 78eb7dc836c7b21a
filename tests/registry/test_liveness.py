"""A connection to PostgreSQL that died while it rested is replaced before anybody meets it."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine, make_url, text

from semilayer_pipelines.registry import liveness
from semilayer_pipelines.registry.database import Registry
from tests.proxy import Proxy


@pytest.fixture
def opened(postgres_registry_url: str) -> Iterator[tuple[Registry, Proxy]]:
    """Yield a registry with one connection that was used a moment ago, behind a proxy."""
    server = make_url(postgres_registry_url)
    proxy = Proxy(server.host or "127.0.0.1", server.port or 5432)
    through = server.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
    registry = Registry.open(through.render_as_string(hide_password=False))
    session(registry)
    yield registry, proxy
    registry.close()
    proxy.cut()


def session(registry: Registry) -> int:
    """Return the server process that answers."""
    with registry.read() as db:
        return int(db.scalar(text("SELECT pg_backend_pid()")) or 0)


def test_a_connection_in_use_stays_the_same(opened: tuple[Registry, Proxy]) -> None:
    registry, _ = opened
    assert session(registry) == session(registry)


def test_a_connection_that_the_server_ended_a_moment_ago_is_replaced(
    opened: tuple[Registry, Proxy], postgres_registry_url: str
) -> None:
    registry, _ = opened
    ended = session(registry)
    server = create_engine(postgres_registry_url)
    with server.connect() as db:
        db.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": ended})
    server.dispose()

    assert session(registry) != ended


def test_a_connection_that_was_cut_a_moment_ago_is_replaced(
    opened: tuple[Registry, Proxy],
) -> None:
    registry, proxy = opened
    cut = session(registry)
    proxy.cut()
    proxy.mend()

    assert session(registry) != cut


def test_a_connection_that_rested_is_asked_even_where_its_socket_is_quiet(
    opened: tuple[Registry, Proxy], postgres_registry_url: str
) -> None:
    registry, _ = opened
    rested = session(registry)
    server = create_engine(postgres_registry_url)
    with server.connect() as db:
        db.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": rested})
    server.dispose()

    # A firewall that forgot the connection tells neither side.
    with (
        patch.object(liveness, "RESTED_SECONDS", 0.0),
        patch.object(liveness, "_is_quiet", lambda _: True),
    ):
        assert session(registry) != rested
