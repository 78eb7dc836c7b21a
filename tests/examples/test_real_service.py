"""A CDC worker against the webhook itself, which is killed and comes back on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.registry import changes, lenses
from tests.examples.workers import EXAMPLES, Index, Worker, dsn_of, eventually
from tests.registry.given import make_lens
from tests.webhook.server import ENV, Place, Server

DRAIN = EXAMPLES / "cdc_outbox/drain.py"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place.at(tmp_path)
    make_lens(place.project.registry, "products", env=ENV)
    return place


def last_actions(place: Place) -> dict[str, str]:
    """The newest action of each id that the service has written down."""
    with place.project.registry.read() as db:
        lens = lenses.get(db, ENV, "products")
        return {one.key: one.action.value for one in changes.since(db, lens.id, 0, 10_000)}


def assert_that_changes_arrive(
    command: tuple[str | Path, ...], dsn: str, index: Index, place: Place, errors: Path
) -> None:
    write = index.connection.execute
    server = Server.started(place)
    worker = Worker(command, dsn, server, errors, place.ik)
    try:
        with worker:
            # when rows are written while the service is there
            write("INSERT INTO products SELECT n, 1 FROM generate_series(1, 100) AS n")
            written = dict.fromkeys(map(str, range(1, 101)), "upsert")
            assert eventually(lambda: last_actions(place) == written), worker.said()

            # and while it is gone
            server.kill()
            write("DELETE FROM products WHERE id <= 50")
            write("INSERT INTO products VALUES (1, 2), (101, 2)")
            server = Server.started(place, port=int(server.url.rpartition(":")[2]))

            # then it has heard of everything
            written |= dict.fromkeys(map(str, range(2, 51)), "delete")
            written |= {"1": "upsert", "101": "upsert"}
            assert eventually(lambda: last_actions(place) == written, 40), worker.said()
    finally:
        server.end()
    assert place.ik not in worker.said()


def test_the_outbox_reaches_a_service_that_is_killed_on_the_way(
    outbox: Index, postgres_database: str, place: Place, errors: Path
) -> None:
    dsn = dsn_of(postgres_database)
    assert_that_changes_arrive((DRAIN, "products"), dsn, outbox, place, errors)
