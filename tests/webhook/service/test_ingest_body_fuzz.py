"""Bodies that no caller should send: each gets a 4xx in the usual shape; the service lives on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from semilayer_pipelines.registry import changes, lenses
from tests.patience import PATIENCE_SECONDS
from tests.webhook.server import ENV, Place

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, int]]:
    place = Place.at(tmp_path_factory.mktemp("fuzz"))
    with place.serving() as server:
        yield place, int(server.url.rpartition(":")[2])


def post(place: Place, port: int, body: bytes) -> tuple[int, dict[str, object]]:
    """Send a body as it is, over a socket of its own; return status and answer."""
    head = (
        f"POST /v1/ingest/items HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        f"Authorization: Bearer {place.ik}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((HOST, port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    top, _, text = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(text)


def records(*changes: str) -> bytes:
    return f'{{"mode": "records", "changes": [{", ".join(changes)}]}}'.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {"mode": st.sampled_from(["records", "records ", "Full", 1, None]) | JSON},
    optional={
        "changes": JSON
        | st.lists(st.fixed_dictionaries({"id": JSON, "action": st.just("upsert")}), max_size=3),
        "more": JSON,
    },
)
LONE = '{"id": "\\ud800", "action": "upsert"}'


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
@given(body=st.binary(max_size=200) | NEARLY.map(lambda value: json.dumps(value).encode()))
@example(body=b"")
@example(body=b"\xff\xfe")
@example(body=b"[" * 100_000)
@example(body=b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
@example(body=b'{"mode": "records", "changes": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")
@example(body=b'{"mode": ' + b"9" * 10_000 + b"}")
@example(body=b'{"mode": NaN}')
@example(body=b'{"mode": "full", "mode": "records"}')
@example(body=records('{"id": "1", "id": "2", "action": "upsert"}'))
@example(body=records('{"id": "1", "action": "upsert"}', '{"id": "1", "action": "delete"}'))
@example(body=records(LONE))
@example(body=records('{"id": "\\u0000", "action": "upsert"}'))
@example(body=records(f'{{"id": "{"x" * 513}", "action": "upsert"}}'))
@example(body=records(f'{{"id": "{"x" * 5_000_000}", "action": "upsert"}}'))
@example(body=records('{"id": 1, "action": "upsert"}'))
@example(body=records('{"id": "1", "action": ["upsert"]}'))
@example(body=records('["1", "upsert"]'))
@example(body=records())
def test_a_body_that_makes_no_sense_is_refused_and_leaves_nothing(
    served: tuple[Place, int], body: bytes
) -> None:
    place, port = served

    status, answer = post(place, port, body)

    assert 400 <= status < 500, (status, answer)
    error = answer["error"]
    assert isinstance(error, dict)
    assert {"code", "message"} <= error.keys()


def test_it_has_lived_through_all_that(served: tuple[Place, int]) -> None:
    place, port = served
    with place.project.registry.read() as db:
        lens = lenses.get(db, ENV, "items")
        assert changes.buffered(db, lens.id) == 0

    status, _ = post(place, port, records('{"id": "1", "action": "upsert"}'))

    assert status == 202
