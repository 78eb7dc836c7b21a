"""What the double does on order, as no real server would."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest

from tests.stores.weaviate.bare import Server, connected, vectors
from tests.stores.weaviate.test_server_vectors import not_found
from tests.weaviate_double import server as double_server
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double


@pytest.fixture
def server() -> Iterator[Server]:
    with Double.serving() as double, connected(double.environ, double) as server:
        yield server


def test_the_vectors_that_came_last_are_hidden_whatever_was_written_since(server: Server) -> None:
    own = vectors(60)
    made = server.make()
    made.data.insert_many(server.objects(range(60), own))
    # Other properties put nothing into the vector index, and another vector does.
    made.data.insert_many(server.objects(range(10), own[:10], share=0.5))
    own[30] = vectors(1, 9)[0]
    made.data.insert_many(server.objects([30], own[30:31]))
    server.kill_and_restart(hide=5)
    made = server.client.collections.use(server.name("things"))
    assert not_found(made, range(60), own) == [30, 56, 57, 58, 59]


def test_a_server_killed_in_a_request_has_its_objects_and_acknowledged_none(server: Server) -> None:
    assert server.double is not None
    server.double.faults.add("BatchObjects", Kind.KILLED, hide=0)
    made, own = server.make(), vectors(20)
    made.data.insert_many(server.objects(range(10), own[:10]))  # sent again, by the client
    made = server.client.collections.use(server.name("things"))
    assert made.aggregate.over_all(total_count=True).total_count == 10
    # The second attempt met equal vectors, which a server leaves alone.
    assert not_found(made, range(10), own[:10]) == list(range(10))
    made.data.insert_many(server.objects(range(10, 20), own[10:]))
    assert not_found(made, range(20), own) == list(range(10))


def test_a_killed_server_is_away_then_not_ready_then_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.double is not None
    seen: list[int] = []

    def look(_: float = 0.0) -> None:
        try:
            answer = httpx.get(f"{server.settings['WEAVIATE_URL']}/v1/.well-known/ready")
            seen.append(answer.status_code)
        except httpx.TransportError:
            seen.append(0)

    # It pauses where it is away, and where it is up and not ready.
    monkeypatch.setattr(double_server, "time", SimpleNamespace(sleep=look))
    server.double.kill_and_restart()
    look()
    assert seen == [0, 503, 200]
