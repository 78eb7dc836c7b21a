"""The tests' own servers: a missing one is never taken for a pass, a private one really serves."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tests import servers

_NOBODY_THERE = "postgresql+psycopg://postgres@127.0.0.1:1/postgres"


def test_without_a_server_the_test_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SEMILAYER_TEST_NO_SKIP", raising=False)

    with pytest.raises(pytest.skip.Exception, match="SOME_URL is not set"):
        servers._find("SOME_URL", _NOBODY_THERE, lambda: None)


def test_without_a_server_the_test_fails_where_skipping_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMILAYER_TEST_NO_SKIP", "1")

    with pytest.raises(pytest.fail.Exception, match="SOME_URL is not set"):
        servers._find("SOME_URL", _NOBODY_THERE, lambda: None)


def test_the_environment_decides_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_URL", "postgresql://u:p@h/d")

    assert servers._find("SOME_URL", _NOBODY_THERE, lambda: None) == (
        "postgresql+psycopg://u:p@h/d"
    )


@pytest.mark.parametrize("start", [servers._start_postgres, servers._start_mariadb])
def test_a_private_server_serves_a_database_that_is_dropped_again(
    start: object,
) -> None:
    assert callable(start)
    url = start()
    if url is None:
        pytest.skip("no server program on this machine")

    with servers.database(url) as throwaway:
        servers.execute(throwaway, "CREATE TABLE items (id INTEGER PRIMARY KEY)")
        servers.execute(servers.emptied(throwaway), "CREATE TABLE items (id INTEGER PRIMARY KEY)")

    with pytest.raises(SQLAlchemyError):
        servers.execute(throwaway, "SELECT 1")


def test_a_database_the_tests_did_not_create_is_not_emptied() -> None:
    with pytest.raises(AssertionError, match="did not create"):
        servers.emptied("postgresql+psycopg://postgres@127.0.0.1:1/production")
