"""Fixtures shared by all tests: throwaway databases."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.compiled_once import compile_once
from tests.sources import SourceDatabase


def pytest_configure() -> None:
    """Hear a Ctrl-C, and let every child hear it, however the suite was started; compile SQL once.

    A shell starts what it runs in the background with SIGINT ignored. Children inherit that, and
    Dagster gives SIGTERM the handler of SIGINT: no child could be ended by either then.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    compile_once()


def pytest_collection_finish() -> None:
    """Let no collection of garbage go through all that was imported, which is there for good."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Leave no server behind."""
    servers.end_all()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep exported models and measured speeds of this session, and of its processes, apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """URL of a PostgreSQL database of this session."""
    with servers.database(servers.postgres_url()) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_database() -> Iterator[str]:
    """URL of a MariaDB database of this session."""
    with servers.database(servers.mariadb_url()) as url:
        yield url


@pytest.fixture
def sqlite_source(tmp_path: Path) -> Iterator[SourceDatabase]:
    """Empty SQLite source."""
    yield from SourceDatabase.opened("sqlite", f"sqlite:///{tmp_path}/source.db")


@pytest.fixture
def postgres_source(postgres_database: str) -> Iterator[SourceDatabase]:
    """Empty PostgreSQL source."""
    yield from SourceDatabase.opened("postgres", servers.emptied(postgres_database))


@pytest.fixture
def mariadb_source(mariadb_database: str) -> Iterator[SourceDatabase]:
    """Empty MariaDB source."""
    yield from SourceDatabase.opened("mariadb", servers.emptied(mariadb_database))


@pytest.fixture(scope="session")
def logging_mariadb_database() -> Iterator[str]:
    """URL of a database of this session on a MariaDB that writes a binary log."""
    with servers.database(servers.logging_mariadb_url()) as url:
        yield url


@pytest.fixture
def logging_mariadb_source(logging_mariadb_database: str) -> Iterator[SourceDatabase]:
    """Empty MariaDB source with a binary log."""
    yield from SourceDatabase.opened("mariadb", servers.emptied(logging_mariadb_database))


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def source(request: pytest.FixtureRequest) -> SourceDatabase:
    """Empty source of each kind of database in turn."""
    found = request.getfixturevalue(f"{request.param}_source")
    assert isinstance(found, SourceDatabase)
    return found
