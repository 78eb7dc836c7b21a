"""Sources followed by an outbox or a binary log reach their indexes, whatever is killed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection

from semilayer_pipelines.errors import ConfigError, Refused
from semilayer_pipelines.follow.installed import chosen_sources, install
from semilayer_pipelines.registry import changes
from tests.beside import beside
from tests.follow.site import Site
from tests.follow.worker import work as follow
from tests.ingest.test_kill import give_up_on_the_dead
from tests.lab import ENV
from tests.patience import eventually
from tests.processes import Child
from tests.sources import SourceDatabase

LAST = 10_000_000


@pytest.fixture(params=["outbox", "binlog"])
def followed(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Site, SourceDatabase]]:
    """A lens over a table of 20 rows, indexed; its source is installed and was looked at once."""
    kind = str(request.param)
    fixture = {"outbox": "postgres_source", "binlog": "logging_mariadb_source"}[kind]
    source = cast("SourceDatabase", request.getfixturevalue(fixture))
    source.run("CREATE TABLE items (id INT PRIMARY KEY, name VARCHAR(100))")
    source.insert("items", [(number, f"name {number}") for number in range(1, 21)])
    site = Site.of(tmp_path, kind, source.url)
    site.install()
    site.lab.full()
    with site.followed():
        eventually(lambda: site.syncs() == 1)
    site.do_syncs()
    yield site, source
    site.uninstall()


def caught_up(site: Site, source: SourceDatabase) -> None:
    """Write a last row, and wait until it is buffered: all that was written before is by then."""
    source.run(f"INSERT INTO items VALUES ({LAST}, 'the last one')")

    def is_buffered() -> bool:
        with site.lab.project.registry.read() as db:
            return bool(changes.newest(db, site.lab.lens.id, [str(LAST)]))

    eventually(is_buffered)


def test_changes_reach_the_index_with_their_deletes_and_moved_keys(
    followed: tuple[Site, SourceDatabase],
) -> None:
    site, source = followed
    with site.followed():
        source.run(
            "UPDATE items SET name = 'new' WHERE id <= 2",
            "DELETE FROM items WHERE id = 3",
            "UPDATE items SET id = 40 WHERE id = 4",
        )
        caught_up(site, source)

    assert site.told() == [
        ("1", "upsert"),
        ("2", "upsert"),
        ("3", "delete"),
        ("4", "delete"),
        ("40", "upsert"),
        (str(LAST), "upsert"),
    ]
    site.lab.apply_all()
    assert site.lab.audit().clean
    assert site.syncs() == 0


def test_a_truncate_queues_a_smart_sync(followed: tuple[Site, SourceDatabase]) -> None:
    site, source = followed
    with site.followed():
        source.run("TRUNCATE TABLE items")
        eventually(lambda: site.syncs() == 1)
    assert site.told() == []


@pytest.mark.parametrize("key", ["n\0l", "x" * 513])
def test_a_key_that_no_caller_may_tell_is_a_smart_sync(
    tmp_path: Path, logging_mariadb_source: SourceDatabase, key: str
) -> None:
    source = logging_mariadb_source
    source.run("CREATE TABLE items (id VARCHAR(600) PRIMARY KEY, name VARCHAR(100))")
    source.insert("items", [("a", "the first")])
    site = Site.of(tmp_path, "binlog", source.url)
    site.install()
    site.lab.full()
    with site.followed():
        eventually(lambda: site.syncs() == 1)
    site.do_syncs()

    with site.followed():
        source.insert("items", [(key, "the second")])
        eventually(lambda: site.syncs() == 1)

    assert site.told() == []
    site.do_syncs()
    assert site.lab.audit().clean
    assert site.lab.indexed().height == 2
    site.uninstall()


def test_killed_again_and_again_under_load_nothing_is_lost_and_nothing_doubled(
    followed: tuple[Site, SourceDatabase],
) -> None:
    # Given a table that is written to all the time
    site, source = followed
    chance, writer = random.Random(1), random.Random(2)
    engine = source.engine.execution_options(isolation_level="READ COMMITTED")

    def write() -> None:
        with engine.begin() as db:
            writing(db, writer)
        time.sleep(0.01)  # as much as is applied in a moment afterwards

    # When the follower is killed at random moments
    with beside(write):
        for turn in range(3):
            follower = Child(follow, site.lab.folder)
            read_something(site)
            time.sleep(chance.uniform(0, 0.2) if turn else 0)
            follower.kill()

    # Then a last one brings the rest, and the index is the table
    with site.followed():
        caught_up(site, source)
    give_up_on_the_dead(site.lab)
    site.lab.apply_all()
    assert site.feed().restarts == 0
    assert site.lab.audit().clean


@pytest.mark.slow
@pytest.mark.parametrize("followed", ["binlog"], indirect=True)  # an outbox is read once more
def test_killed_in_a_burst_of_small_transactions_each_change_is_buffered_once(
    followed: tuple[Site, SourceDatabase],
) -> None:
    # Given transactions of one row each, as fast as they come
    site, source = followed
    chance, numbers, written = random.Random(3), count(101), list[str]()

    def write() -> None:
        some = [str(number) for number in islice(numbers, 200)]
        source.run(*(f"INSERT INTO items VALUES ({number}, 'new')" for number in some))
        written.extend(some)

    # When the follower is killed again and again in the middle of them
    with beside(write):
        for _ in range(8):
            follower = Child(follow, site.lab.folder)
            read_something(site)
            time.sleep(chance.uniform(0, 0.1))
            follower.kill()
    with site.followed():
        caught_up(site, source)

    # Then each was buffered once, in the order of the commits
    with site.lab.project.registry.read() as db:
        told = changes.since(db, site.lab.lens.id, 0, 2 * len(written))
    assert [change.key for change in told] == [*written, str(LAST)]
    assert site.feed().restarts == 0


def read_something(site: Site) -> None:
    before = site.feed().changes
    eventually(lambda: site.feed().changes > before)


def writing(db: Connection, chance: random.Random) -> None:
    """Write one transaction of a few changes, some with keys that move."""
    for _ in range(chance.randint(1, 5)):
        id, other = chance.randrange(1, 200), chance.randrange(1, 200)
        db.exec_driver_sql(f"DELETE FROM items WHERE id = {other}")
        match chance.choice(["write", "write", "delete", "move"]):
            case "write":
                name = f"name {chance.getrandbits(40)}"
                db.exec_driver_sql(f"UPDATE items SET name = '{name}' WHERE id = {id}")
                db.exec_driver_sql(f"INSERT INTO items VALUES ({other}, '{name}')")
            case "delete":
                db.exec_driver_sql(f"DELETE FROM items WHERE id = {id}")
            case "move":
                db.exec_driver_sql(f"UPDATE items SET id = {other} WHERE id = {id}")


@pytest.mark.parametrize(
    ("kind", "database", "words"),
    [
        ("outbox", "mariadb_source", "`cdc: outbox` is for PostgreSQL"),
        ("outbox", "sqlite_source", "`cdc: outbox` is for PostgreSQL"),
        ("binlog", "postgres_source", "`cdc: binlog` is for MySQL and MariaDB"),
    ],
)
def test_a_way_that_a_database_has_not_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, database: str, words: str
) -> None:
    source = cast("SourceDatabase", request.getfixturevalue(database))
    source.run("CREATE TABLE items (id INT PRIMARY KEY, name VARCHAR(100))")
    site = Site.of(tmp_path, kind, source.url)

    with pytest.raises(ConfigError, match=words):
        install(site.lab.project, chosen_sources(site.lab.project, ENV, None)[0])


def test_a_server_without_a_binary_log_is_refused_with_what_to_set(
    mariadb_source: SourceDatabase, tmp_path: Path
) -> None:
    mariadb_source.run("CREATE TABLE items (id INT PRIMARY KEY, name VARCHAR(100))")
    site = Site.of(tmp_path, "binlog", mariadb_source.url)

    with pytest.raises(Refused, match="writes no binary log") as refused:
        install(site.lab.project, chosen_sources(site.lab.project, ENV, None)[0])

    assert "log_bin" in (refused.value.cure or "")
