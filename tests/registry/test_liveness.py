"""A connection to PostgreSQL that died while it rested is replaced before anybody meets it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine, text

from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.registry import environments, liveness
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.engine import VANISHED_SECONDS
from tests.registry.given import NOW


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


def left_on_a_standby(registry: Registry) -> None:
    """Let the pooled connection be one to a server that only reads, as after a fail-over."""
    with registry.begin() as db:
        db.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))


def test_a_connection_to_a_server_that_only_reads_by_now_is_given_up(registry: Registry) -> None:
    left_on_a_standby(registry)
    left = session(registry)

    with pytest.raises(RegistryUnavailable, match="read-only"), registry.begin() as db:
        environments.ensure(db, "staging", NOW)

    with registry.begin() as db:
        environments.ensure(db, "staging", NOW)
    assert session(registry) != left


def test_a_run_goes_on_over_another_connection_when_its_own_only_reads(registry: Registry) -> None:
    left_on_a_standby(registry)

    with registry.patiently():
        made = registry.transact(lambda db: environments.ensure(db, "staging", NOW))

    assert made.slug == "staging"


def test_a_host_that_vanishes_is_noticed_in_time(registry: Registry) -> None:
    with registry.read() as db:
        driver = db.connection.driver_connection
        assert driver is not None
        with closing(socket.socket(fileno=os.dup(driver.fileno()))) as connection:
            unanswered = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            idle = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            asked = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            times = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)

    assert unanswered == 1_000 * VANISHED_SECONDS
    assert idle + asked * times <= VANISHED_SECONDS


def test_the_url_has_the_last_word(postgres_registry_url: str) -> None:
    registry = Registry.open(f"{postgres_registry_url}?tcp_user_timeout=5000", migrate=False)

    with registry.read() as db:
        driver = db.connection.driver_connection
        assert driver is not None
        assert driver.info.get_parameters()["tcp_user_timeout"] == "5000"
    registry.close()
