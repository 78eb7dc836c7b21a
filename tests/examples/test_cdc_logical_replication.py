"""Replication confirms only what was delivered, and only whole transactions."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.client.service import Fault, Service, serve
from tests.examples.workers import (
    EXAMPLES,
    FAULTS,
    Index,
    Worker,
    eventually,
    fail_after_each,
    indexed_key,
    kill_at_random,
    written_to,
)

REPLICATE = EXAMPLES / "cdc_logical_replication/replicate.py"
SLOT = "semilayer_products"


@pytest.fixture
def dsn(replicated: Index) -> str:
    info = replicated.connection.info
    return f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"


@pytest.fixture
def worker(dsn: str, service: Service, errors: Path) -> Worker:
    return Worker((REPLICATE, "products", SLOT, "id"), dsn, service, errors)


def now(index: Index) -> str:
    row = index.connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


def confirmed(index: Index, position: str) -> bool:
    row = index.connection.execute(
        "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots", (position,)
    ).fetchone()
    return row == (True,)


def assert_that_nothing_was_lost(worker: Worker, index: Index) -> None:
    position = now(index)
    with worker:
        assert eventually(lambda: confirmed(index, position), 30), worker.said()
    assert index.versions == index.table()


@pytest.mark.parametrize(("kills", "seed"), [(3, 1), pytest.param(50, 2, marks=pytest.mark.slow)])
def test_no_change_is_lost_when_the_worker_is_killed_again_and_again(
    worker: Worker, replicated: Index, service: Service, dsn: str, kills: int, seed: int
) -> None:
    with written_to(dsn, seed):
        kill_at_random(worker, service, replicated, kills, seed, shortest=1.0, longest=4.0)
    assert_that_nothing_was_lost(worker, replicated)


@pytest.mark.slow
def test_no_change_is_lost_while_the_service_fails_in_every_way(
    worker: Worker, replicated: Index, service: Service, dsn: str
) -> None:
    fail_after_each(service, replicated, FAULTS[1:4])
    with written_to(dsn, seed=3), worker:
        assert eventually(lambda: len(service.acknowledged) > 4, 40)
    assert_that_nothing_was_lost(worker, replicated)


@pytest.mark.slow
def test_nothing_is_confirmed_while_the_service_is_down(worker: Worker, replicated: Index) -> None:
    with serve() as service:
        service.on_acknowledged = replicated.apply
    worker.service = service
    replicated.connection.execute("INSERT INTO products VALUES (1, 1)")
    position = now(replicated)
    with worker:
        assert not eventually(lambda: confirmed(replicated, position), 5)
        with serve(service):
            assert eventually(lambda: confirmed(replicated, position), 30), worker.said()
    assert service.last_actions == {"1": "upsert"}


@pytest.mark.slow
def test_what_was_acknowledged_and_not_confirmed_is_sent_again(
    worker: Worker, replicated: Index, service: Service
) -> None:
    # Given a worker that dies right when its first call is acknowledged
    kill_at = [1]

    def acknowledged(_: object) -> None:
        if kill_at and worker.process is not None:
            kill_at.pop()
            worker.process.kill()

    service.on_acknowledged = acknowledged
    with worker:
        replicated.connection.execute("INSERT INTO products VALUES (1, 1), (2, 2)")
        worker.exit_code()
    # When it is started again
    position = now(replicated)
    with worker:
        assert eventually(lambda: confirmed(replicated, position), 30), worker.said()
    # Then the whole transaction came once more
    whole = [("1", "upsert"), ("2", "upsert")]
    assert service.acknowledged == [whole, whole]


def test_a_transaction_comes_whole_and_after_those_that_committed_before_it(
    worker: Worker, replicated: Index, service: Service, dsn: str
) -> None:
    with psycopg.connect(dsn) as early, worker:
        # Given a transaction that started first and is still open
        early.execute("INSERT INTO products VALUES (1, 1), (2, 2)")
        replicated.connection.execute("INSERT INTO products VALUES (3, 3)")
        position = now(replicated)
        assert eventually(lambda: confirmed(replicated, position), 30), worker.said()
        assert service.acknowledged == [[("3", "upsert")]]
        # When the worker dies before it commits
        worker.kill()
        early.execute("DELETE FROM products WHERE id = 1")
        early.commit()
    assert_that_nothing_was_lost(worker, replicated)
    # Then all of it is there, coalesced
    assert service.acknowledged[1:] == [[("2", "upsert"), ("1", "delete")]]


def test_composite_and_changed_keys_are_named_as_the_index_names_them(
    worker: Worker, replicated: Index, service: Service
) -> None:
    connection = replicated.connection
    service.on_acknowledged = lambda _: None
    connection.execute('CREATE TABLE texts (language text, "No" int, body text)')
    connection.execute('ALTER TABLE texts ADD PRIMARY KEY ("No", language)')
    connection.execute(f"ALTER PUBLICATION {SLOT} SET TABLE texts")
    worker.command = (REPLICATE, "texts", SLOT, "No", "language")
    quoted = 'with "quotes", é🜚'
    connection.execute("INSERT INTO texts VALUES ('en', 7, NULL), (%s, 8, 'x')", (quoted,))
    connection.execute("UPDATE texts SET language = 'de' WHERE language = 'en'")
    connection.execute('DELETE FROM texts WHERE "No" = 8')
    position = now(replicated)
    with worker:
        assert eventually(lambda: confirmed(replicated, position), 30), worker.said()
    assert service.last_actions == {
        indexed_key("7", "en"): "upsert",
        indexed_key("7", "de"): "upsert",
        indexed_key("8", quoted): "delete",
    }


def test_a_missing_slot_and_a_wrong_column_are_said_in_words(
    worker: Worker, replicated: Index
) -> None:
    worker.command = (REPLICATE, "products", "nowhere", "id")
    with worker:
        assert worker.exit_code() == 1
    assert "Was setup.sql run" in worker.said()
    replicated.connection.execute("INSERT INTO products VALUES (1, 1)")
    worker.command = (REPLICATE, "products", SLOT, "sku")
    with worker:
        assert worker.exit_code() == 1
    assert "public.products has no column sku" in worker.said()
    assert "Traceback" not in worker.said()


def test_a_refusal_ends_the_worker_and_confirms_nothing(
    worker: Worker, replicated: Index, service: Service
) -> None:
    replicated.connection.execute("INSERT INTO products VALUES (1, 1)")
    position = now(replicated)
    service.faults = [Fault(404, body=b'{"error": {"code": "lens_not_found"}}')] * 2
    with worker:
        assert worker.exit_code() == 1
    assert "lens_not_found" in worker.said()
    assert not confirmed(replicated, position)
    assert_that_nothing_was_lost(worker, replicated)
