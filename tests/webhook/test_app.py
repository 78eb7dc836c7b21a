"""What HTTP itself can get wrong: methods, types, sizes, broken connections."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry.api_key import KeyKind, new_key
from tests.patience import PATIENCE_SECONDS
from tests.webhook.server import ENV, SEMILAYER, Place, Server
from tests.webhook.site import Site, error_of
from webhook.app import build_app
from webhook.operations import KEYED

FULL = json.dumps({"mode": "full"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place.at(tmp_path_factory.mktemp("http"))


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Server]:
    with place.serving() as server:
        yield server


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/ingest/items", "POST"),
        ("PUT", "/v1/ingest/items", "POST"),
        ("DELETE", "/v1/lenses/items", "GET, HEAD, PATCH"),
        ("POST", "/v1/lenses", "GET, HEAD"),
        ("TRACE", "/healthz", "GET, HEAD"),
    ],
)
def test_another_method_is_405_and_is_told_the_right_ones(
    sqlite_site: Site, method: str, path: str, allowed: str
) -> None:
    response = sqlite_site.call(method, path)

    assert error_of(response)[:2] == (405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == set(allowed.split(", "))


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/ingest", "/v1/ingest/items/", "/v2/lenses"])
def test_an_unknown_address_is_404_in_the_same_shape(sqlite_site: Site, path: str) -> None:
    told = error_of(sqlite_site.call("POST", path, {}))

    assert told == (404, "not_found", "Nothing is at this address.")


@pytest.mark.parametrize(
    "type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_a_body_that_is_not_said_to_be_json_is_415(sqlite_site: Site, type: str | None) -> None:
    headers = {"authorization": f"Bearer {sqlite_site.ik}"}
    headers |= {} if type is None else {"content-type": type}

    response = sqlite_site.client.post("/v1/ingest/items", content=FULL, headers=headers)

    assert error_of(response)[:2] == (415, "unsupported_media_type")  # type: ignore[arg-type]


@pytest.mark.parametrize("type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_said_in_other_ways(sqlite_site: Site, type: str) -> None:
    headers = {"authorization": f"Bearer {sqlite_site.ik}", "content-type": type}

    response = sqlite_site.client.post("/v1/ingest/items", content=FULL, headers=headers)

    assert response.status_code == 202


def test_a_body_of_eight_megabytes_is_read_and_a_longer_one_refused(sqlite_site: Site) -> None:
    longest = FULL + " " * (8_000_000 - len(FULL))
    headers = {"content-type": "application/json"}

    fits = sqlite_site.call(
        "POST", "/v1/ingest/items", content=longest, headers=headers, key=sqlite_site.ik
    )
    over = sqlite_site.call(
        "POST", "/v1/ingest/items", content=longest + " ", headers=headers, key=sqlite_site.ik
    )

    assert fits.status_code == 202
    assert error_of(over)[:2] == (413, "body_too_large")


def ask(server: Server, head: str, *parts: bytes) -> bytes:
    """Send these bytes and return what comes back, without waiting for the end."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        for part in parts:
            connection.sendall(part)
        return connection.recv(4096)


def head(place: Place, *lines: str) -> str:
    told = ["POST /v1/ingest/items HTTP/1.1", "Host: x", f"Authorization: Bearer {place.ik}"]
    return "\n".join([*told, "Content-Type: application/json", *lines, "", ""])


def test_a_body_declared_too_long_is_refused_before_any_of_it_arrives(
    place: Place, server: Server
) -> None:
    answer = ask(server, head(place, "Content-Length: 8000000000"))

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_of_undeclared_length_is_refused_once_it_is_too_long(
    place: Place, server: Server
) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    answer = ask(server, head(place, "Transfer-Encoding: chunked"), chunk * 123)

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_stranger_is_refused_before_his_body_is_read(server: Server) -> None:
    lines = ["POST /v1/ingest/items HTTP/1.1", "Host: x", "Content-Type: application/json"]

    answer = ask(server, "\n".join([*lines, "Content-Length: 8000000", "", ""]))

    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "garbage",
    ["GET\n\n", "\0\0\0\n\n", "POST /v1/ingest/items HTTP/1.1\nContent-Length: x\n\n", "{}\n\n"],
)
def test_what_is_not_http_gets_a_4xx_and_the_service_lives_on(server: Server, garbage: str) -> None:
    answer = ask(server, garbage)

    assert answer.startswith(b"HTTP/1.1 4")
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_caller_who_hangs_up_in_the_middle_of_a_body_leaves_nothing_behind(
    place: Place, server: Server
) -> None:
    body = b'{"mode": "records", "changes": [{"id": "half"'
    port = int(server.url.rpartition(":")[2])
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
            lines = head(place, "Content-Length: 1000").replace("\n", "\r\n")
            connection.sendall(lines.encode() + body)
    time.sleep(0.1)

    assert httpx.get(f"{server.url}/readyz").status_code == 200
    with place.project.registry.read() as db:
        assert db.exec_driver_sql("SELECT count(*) FROM sl_changes").scalar_one() == 0


def test_many_calls_go_over_one_connection(place: Place, server: Server) -> None:
    with httpx.Client(headers=place.ingest_headers) as client:
        answers = [
            client.post(f"{server.url}/v1/ingest/items", json=body).status_code
            for body in [{"mode": "full"}, {"mode": "x"}, {"mode": "full"}]
            for _ in range(10)
        ]
        refused = client.post(
            f"{server.url}/v1/ingest/items", content=b" " * 9_000_000,
            headers={"content-type": "application/json"},
        )  # fmt: skip
        after = client.post(f"{server.url}/v1/ingest/items", json={"mode": "full"})

    assert answers == [202] * 10 + [400] * 10 + [202] * 10
    assert (refused.status_code, after.status_code) == (413, 202)


def test_nothing_of_the_server_is_told_in_its_headers(server: Server) -> None:
    answer = httpx.get(f"{server.url}/healthz")

    assert set(answer.headers) == {"date", "content-length", "content-type"}


def test_a_second_one_on_a_port_is_refused_and_the_first_serves_on(
    place: Place, server: Server
) -> None:
    port = httpx.URL(server.url).port

    second = subprocess.run(
        [SEMILAYER, "webhook", "--port", str(port)],
        cwd=place.folder,
        env=place.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert second.returncode == 2
    assert f"Port {port} is taken." in second.stderr
    assert "Traceback" not in second.stderr
    assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:s3cret@127.0.0.1:1/books",
        "postgresql://127.0.0.1:1/books?user=anna&password=s3cret",
        "postgresql://anna@s3cret.example/books?no_such_option=1",
        "anna:s3cret@127.0.0.1/books",
    ],
)
def test_no_answer_says_where_a_registry_is_that_does_not_answer(tmp_path: Path, url: str) -> None:
    environ = {"SEMILAYER_ENV": ENV, "SEMILAYER_REGISTRY_URL": url}
    project = Project(Settings.from_environ(environ, tmp_path), environ)
    # Anybody can make a key whose checksum is right.
    made_up = {
        "authorization": f"Bearer {new_key(KeyKind.SERVICE, ENV, secrets.choice)}",
        "content-type": "application/json",
    }
    with TestClient(build_app(project), raise_server_exceptions=False) as client:
        for one in KEYED:
            path = one.path.format(lens="items", id="j1")
            answers = [
                client.request(one.method, path, headers=headers, content="{}")
                for headers in ({}, made_up)
            ]
            for answer in answers:
                assert answer.status_code >= 400
                shown = answer.text + str(answer.headers)
                assert not [x for x in ("anna", "s3cret", "127.0.0.1", "books") if x in shown]
            assert answers[1].status_code == 503
        for open_ in ("/readyz", "/healthz", "/metrics", "/openapi.json"):
            assert "s3cret" not in client.get(open_).text


def test_a_service_whose_registry_does_not_answer_says_so_and_goes_on_when_it_does(
    tmp_path: Path,
) -> None:
    # given: a file where the registry's folder should be
    place = Place.at(tmp_path, f"sqlite:///{tmp_path}/folder/registry.db")
    place.project.registry.close()
    (tmp_path / "folder").rename(tmp_path / "aside")
    (tmp_path / "folder").touch()

    def call(url: str) -> httpx.Response:
        return httpx.post(
            f"{url}/v1/ingest/items", json={"mode": "full"}, headers=place.ingest_headers
        )

    with place.serving(until="/healthz") as server:
        # when, then
        ready, refused = httpx.get(f"{server.url}/readyz"), call(server.url)
        assert ready.status_code == 503
        assert ready.json()["parts"] == {
            "registry": "RegistryUnavailable: it does not answer",
            "writer": "ready",
            "service": "ready",
        }
        assert error_of(refused)[:2] == (503, "unavailable")
        assert refused.headers["retry-after"] == "1"

        # when, then
        (tmp_path / "folder").unlink()
        (tmp_path / "aside").rename(tmp_path / "folder")
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert call(server.url).status_code == 202


def test_a_head_that_is_too_long_is_refused(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 70_000)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "unit", ["[],", "{},", '{"a":1},', "1,", '"",', "[" * 10 + "]" * 10 + ",", '"a":1,']
)
@pytest.mark.parametrize("path", ["/v1/ingest/items", "/v1/search/items"])
def test_a_body_of_millions_of_values_is_refused_in_a_moment(
    sqlite_site: Site, path: str, unit: str
) -> None:
    body = "[" + unit * (7_900_000 // len(unit))
    headers = {"content-type": "application/json"}
    sqlite_site.client.get("/healthz")

    began = time.process_time()
    response = sqlite_site.call("POST", path, content=body.encode(), headers=headers)

    assert error_of(response)[:2] == (400, "bad_request")
    assert "too many values" in response.json()["error"]["message"]
    # Objects for all of the values would take ten times as long.
    assert time.process_time() - began < 5
