"""A connection to PostgreSQL that died while it rested is replaced before anybody meets it."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine, text

from semilayer_pipelines.registry import liveness
from semilayer_pipelines.registry.database import Registry


@pytest.fixture
def registry(postgres_registry_url: str) -> Iterator[Registry]:
    """A registry with one connection, which was used a moment ago."""
    opened = Registry.open(postgres_registry_url)
    session(opened)
    yield opened
    opened.close()


def session(registry: Registry) -> int:
    """Return the server process that answers."""
    with registry.read() as db:
        return int(db.scalar(text("SELECT pg_backend_pid()")) or 0)


def end(session: int, server: str) -> None:
    """Have the server end a session; return once it is gone."""
    engine = create_engine(server)
    with engine.connect() as db:
        db.execute(text("SELECT pg_terminate_backend(:pid, 20000)"), {"pid": session})
    engine.dispose()


def test_a_connection_in_use_stays_the_same(registry: Registry) -> None:
    assert session(registry) == session(registry)


def test_a_connection_that_the_server_ended_a_moment_ago_is_replaced(
    registry: Registry, postgres_registry_url: str
) -> None:
    ended = session(registry)
    end(ended, postgres_registry_url)

    assert session(registry) != ended


def test_a_connection_that_was_closed_here_is_replaced(registry: Registry) -> None:
    with registry.read() as db:
        closed = db.connection.driver_connection
    assert closed is not None
    before = session(registry)
    closed.close()

    assert session(registry) != before


def test_a_connection_that_rested_is_asked_even_where_its_socket_is_quiet(
    registry: Registry, postgres_registry_url: str
) -> None:
    rested = session(registry)
    end(rested, postgres_registry_url)

    # A firewall that forgot the connection tells neither side.
    with (
        patch.object(liveness, "RESTED_SECONDS", 0.0),
        patch.object(liveness, "_is_quiet", lambda _: True),
    ):
        assert session(registry) != rested
