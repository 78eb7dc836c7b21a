"""The outbox loses no change, whoever is killed or down, in whatever order transactions commit."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.client.service import Service, serve
from tests.examples.workers import (
    EXAMPLES,
    FAULTS,
    Index,
    Worker,
    dsn_of,
    eventually,
    fail_after_each,
    kill_at_random,
    written_to,
)

DRAIN = EXAMPLES / "cdc_outbox/drain.py"


@pytest.fixture
def dsn(outbox: Index, postgres_database: str) -> str:
    return dsn_of(postgres_database)


@pytest.fixture
def drainer(dsn: str, service: Service, errors: Path) -> Worker:
    return Worker((DRAIN, "products"), dsn, service, errors)


def drained(index: Index) -> bool:
    row = index.connection.execute("SELECT count(*) FROM semilayer_changes").fetchone()
    return row == (0,)


def assert_that_nothing_was_lost(drainer: Worker, index: Index) -> None:
    with drainer:
        assert eventually(lambda: drained(index)), drainer.said()
    assert index.versions == index.table()


@pytest.mark.parametrize(("kills", "seed"), [(5, 1), pytest.param(60, 2, marks=pytest.mark.slow)])
def test_no_change_is_lost_when_the_drainer_is_killed_again_and_again(
    drainer: Worker, outbox: Index, service: Service, dsn: str, kills: int, seed: int
) -> None:
    with written_to(dsn, seed):
        kill_at_random(drainer, service, outbox, kills, seed)
    assert_that_nothing_was_lost(drainer, outbox)
    assert len(service.acknowledged) > kills / 2


def test_no_change_is_lost_while_the_service_fails_in_every_way(
    drainer: Worker, outbox: Index, service: Service, dsn: str
) -> None:
    fail_after_each(service, outbox, FAULTS)
    with written_to(dsn, seed=3), drainer:
        assert eventually(lambda: len(service.acknowledged) > len(FAULTS) + 2)
    assert_that_nothing_was_lost(drainer, outbox)


@pytest.mark.slow  # the one before has it fail in every way
def test_no_change_is_lost_while_the_service_is_down(
    drainer: Worker, outbox: Index, dsn: str
) -> None:
    # Given a service that is down before the first change
    with serve() as service:
        service.on_acknowledged = outbox.apply
    drainer.service = service
    with drainer, written_to(dsn, seed=4):
        assert not eventually(lambda: service.acknowledged, seconds=2)
        # When it comes up, goes down once more, and comes up again
        for _ in range(2):
            seen = len(service.acknowledged)

            def more(seen: int = seen) -> bool:
                return len(service.acknowledged) > seen

            with serve(service):
                assert eventually(more)
    with serve(service):
        assert_that_nothing_was_lost(drainer, outbox)


def test_a_transaction_that_commits_after_later_ones_is_not_skipped(
    drainer: Worker, outbox: Index, service: Service, dsn: str
) -> None:
    with psycopg.connect(dsn) as early, drainer:
        # Given a change that has a lower number and is not committed
        early.execute("INSERT INTO products VALUES (1, 1)")
        outbox.connection.execute("INSERT INTO products VALUES (2, 2)")
        # When the higher one was delivered and has left the outbox
        assert eventually(lambda: service.last_actions == {"2": "upsert"} and drained(outbox))
        early.commit()
        # Then the lower one is delivered as well
        assert eventually(lambda: service.last_actions == {"2": "upsert", "1": "upsert"})
    assert outbox.versions == {"1": 1, "2": 2}


def test_a_transaction_that_commits_during_the_delivery_of_later_ones_is_not_skipped(
    drainer: Worker, outbox: Index, service: Service, dsn: str
) -> None:
    with psycopg.connect(dsn) as early, drainer:
        early.execute("INSERT INTO products VALUES (1, 1)")
        # When the lower number commits between the reading and the deleting of the higher one
        service.on_acknowledged = lambda _: early.commit()
        outbox.connection.execute("INSERT INTO products VALUES (2, 2)")
        # Then it is delivered all the same
        assert eventually(lambda: service.last_actions == {"2": "upsert", "1": "upsert"})


def test_a_second_drainer_stands_by(
    drainer: Worker, outbox: Index, service: Service, dsn: str, errors: Path
) -> None:
    second = Worker((DRAIN, "products"), dsn, service, errors)
    with drainer, second, written_to(dsn, seed=5):
        assert eventually(lambda: len(service.acknowledged) > 2)
        drainer.kill()
        seen = len(service.acknowledged)
        assert eventually(lambda: len(service.acknowledged) > seen + 2)
    assert service.most_at_once == 1
    assert_that_nothing_was_lost(drainer, outbox)


def test_a_change_that_was_refused_stays_in_the_outbox(
    drainer: Worker, outbox: Index, service: Service
) -> None:
    outbox.connection.execute("INSERT INTO products VALUES (1, 1)")
    # When the key is wrong
    drainer.key = "ik_development_wrong"
    with drainer:
        # Then it ends with the reason, without the key and without a traceback
        assert drainer.exit_code() == 1
    assert "HTTP 401 unauthorized" in drainer.said()
    assert "wrong" not in drainer.said()
    assert "Traceback" not in drainer.said()
    # And with the right one it is delivered
    drainer.key = Worker.key
    assert_that_nothing_was_lost(drainer, outbox)


def test_a_key_that_no_service_takes_does_not_hold_up_the_others(
    drainer: Worker, outbox: Index
) -> None:
    outbox.connection.execute("CREATE TABLE notes (id text PRIMARY KEY)")
    outbox.connection.execute("SELECT semilayer_watch('notes', 'products', 'id')")
    outbox.connection.execute("INSERT INTO notes VALUES (repeat('x', 600))")
    outbox.connection.execute("INSERT INTO products VALUES (1, 1)")
    assert_that_nothing_was_lost(drainer, outbox)
    assert "600 characters" in drainer.said()


def test_a_missing_setting_is_named(outbox: Index, drainer: Worker) -> None:
    outbox.connection.execute("DROP TABLE semilayer_changes CASCADE")
    with drainer:
        assert drainer.exit_code() == 1
    assert "Was setup.sql run" in drainer.said()
