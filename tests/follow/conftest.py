"""A PostgreSQL that decodes its log, with one database for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from semilayer_pipelines.follow import follower
from tests import servers
from tests.follow.logs import Log
from tests.follow.site import OFTEN, Site


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let followers of this process look around every moment."""
    for name, seconds in OFTEN.items():
        monkeypatch.setattr(follower, name, seconds)


@pytest.fixture(scope="session")
def logical_database() -> Iterator[str]:
    """URL of a database of this session whose log is decoded."""
    with servers.database(servers.logical_postgres_url()) as url:
        yield url


@pytest.fixture
def application(logical_database: str) -> Iterator[psycopg.Connection]:
    """A connection to that database, empty but for the table `marks`; no slot is left behind."""
    url = servers.emptied(logical_database).replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE marks (id bigint PRIMARY KEY)")
        yield db


@pytest.fixture
def log(logical_database: str, application: psycopg.Connection) -> Iterator[Log]:
    """The log of that database; what a test installed is taken away."""
    made = Log(logical_database.replace("postgresql+psycopg", "postgresql"), application)
    yield made
    made.uninstall()


@pytest.fixture
def site(tmp_path: Path, logical_database: str, application: psycopg.Connection) -> Iterator[Site]:
    """A lens over a table of 20 rows, indexed; its source is installed and has no slow sync."""
    application.execute("CREATE TABLE items (id int PRIMARY KEY, name text, other int)")
    application.execute("INSERT INTO items SELECT n, 'name ' || n FROM generate_series(1, 20) n")
    made = Site.at(tmp_path, logical_database, application)
    made.install()
    made.lab.full()
    yield made
    made.uninstall()
