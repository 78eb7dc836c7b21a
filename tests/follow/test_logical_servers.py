"""A PostgreSQL whose log goes on otherwise than it was read, and one that is followed on."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from semilayer_pipelines.follow.feed import Batch
from semilayer_pipelines.http.contract import Action
from tests.bridges.own_postgres import OwnPostgres
from tests.follow.logs import Log

ITEMS = {"items": ("id",)}
OTHERWISE = "A standby took over, or the database was restored: its log goes on otherwise."


@pytest.fixture(scope="module")
def own() -> Iterator[OwnPostgres]:
    """A server that nobody else uses."""
    yield from OwnPostgres.opened()


@pytest.fixture
def log(own: OwnPostgres) -> Iterator[Log]:
    """The log of its database; a feed of it has read up to `position`."""
    own.run(
        "DROP TABLE IF EXISTS items, marks",
        "CREATE TABLE marks (id bigint PRIMARY KEY)",
        "CREATE TABLE items (id int PRIMARY KEY)",
    )
    made = Log(own.url(), own.connect())
    made.install(ITEMS)
    read_on(made)
    yield made
    made.uninstall()
    made.db.close()


def read_on(log: Log) -> list[Batch]:
    """Read from where the last batch ended, and keep what comes."""
    feed = log.feed(ITEMS, log.position if log.batches else None)
    log.read(feed)
    feed.confirm(log.position)
    feed.close()
    return log.batches


def restart(own: OwnPostgres, log: Log) -> None:
    own.start()
    log.db = own.connect()


def test_a_database_that_is_restored_from_an_older_copy_starts_over(
    own: OwnPostgres, log: Log
) -> None:
    # Given a copy of the server's files, and changes that were read after it
    log.db.close()
    own.stop("fast")
    copy = own.home / "copy"
    subprocess.run(["cp", "-a", own.data, copy], check=True)
    restart(own, log)
    log.db.execute("INSERT INTO items SELECT generate_series(1, 1000)")
    read_on(log)

    # When the copy takes the place of the files, and goes on
    log.db.close()
    own.stop("fast")
    shutil.rmtree(own.data)
    copy.rename(own.data)
    restart(own, log)
    log.db.execute("INSERT INTO items VALUES (4711)")

    # Then what it did not have, and what it has since, is for the syncs to find
    read_on(log)
    assert log.restarted() == [OTHERWISE]
    log.db.execute("INSERT INTO items VALUES (4712)")
    assert [change.row for batch in read_on(log) for change in batch.changes][:1] == [("4712",)]
    assert log.restarted() == []


def test_a_standby_that_takes_over_starts_over(own: OwnPostgres, log: Log) -> None:
    # Given a server that goes on on another timeline, with the slot
    log.db.close()
    own.stop("fast")
    signal = own.data / "standby.signal"
    signal.touch()
    if own.user is not None:
        shutil.chown(signal, own.user)
    own.start()
    own.call("pg_ctl", "-D", own.data, "-w", "promote")
    log.db = own.connect()

    read_on(log)

    assert log.restarted() == [OTHERWISE]


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_server_that_is_started_again_is_followed_on(
    own: OwnPostgres, log: Log, how: str
) -> None:
    # Given a position of an older version, which knew of no timelines
    kept = json.loads(log.position)
    del kept["timeline"]
    log.db.execute("INSERT INTO items VALUES (1)")
    log.db.close()
    own.stop(how)
    restart(own, log)

    feed = log.feed(ITEMS, json.dumps(kept))
    changes = log.read(feed)
    feed.close()

    assert [(change.action, change.row) for change in changes] == [(Action.UPSERT, ("1",))]
    assert log.restarted() == []
    assert json.loads(log.position)["timeline"] != ""
