"""A caller cannot hold a connection, or fill the memory, with a head that never ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from semilayer_pipelines.http import heads
from semilayer_pipelines.http.heads import MAX_HEAD_BYTES, BoundedHeads

SECONDS = 0.5


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def _early(request: Request) -> PlainTextResponse:
    return PlainTextResponse("no body was read", 401)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a service with short deadlines."""
    app = Starlette(
        routes=[
            Route("/", _echo, methods=["GET", "POST"]),
            Route("/early", _early, methods=["POST"]),
        ]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "HEAD_SECONDS", SECONDS)
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(app, http=BoundedHeads, log_level="error", ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def caller(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass  # closed while we were still sending
    return received


def test_a_connection_on_which_nothing_comes_is_closed(port: int) -> None:
    began = time.monotonic()
    with caller(port) as connection:
        assert until_closed(connection) == b""
    assert time.monotonic() - began >= SECONDS * 0.9


@pytest.mark.parametrize("pause", [0.1, 0.2])
def test_a_head_that_drips_in_is_answered_with_408(port: int, pause: float) -> None:
    answered = b""
    with caller(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        connection.settimeout(pause)
        for n in range(100):
            try:
                connection.sendall(b"x-%d: y\r\n" % n)
                answered = connection.recv(65_536)
                break
            except TimeoutError:
                continue
    assert answered.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 200_000,
        b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 40_000,
        b"GET / HTTP/1.1\r\nx: " + b"y" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
    ],
)
def test_a_head_that_is_too_long_is_answered_with_431(port: int, head: bytes) -> None:
    with caller(port) as connection:
        try:
            connection.sendall(head)
        except (ConnectionResetError, BrokenPipeError):
            return  # refused before all of it was sent
        received = until_closed(connection)
    assert received == b"" or received.startswith(b"HTTP/1.1 431 ")


def test_a_long_head_within_the_bound_is_answered_and_a_second_one_too(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nx: " + b"y" * 60_000 + b"\r\ncontent-length: 5\r\n\r\nhello"
    with caller(port) as connection:
        for _ in range(3):
            connection.sendall(head)
            assert b"5 bytes" in connection.recv(65_536)
            time.sleep(SECONDS * 1.5)  # idle between calls, which is no slow head


def test_a_second_head_that_never_ends_is_closed_too(port: int) -> None:
    with caller(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 200 " in connection.recv(65_536)
        connection.sendall(b"GET / HT")
        assert until_closed(connection).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_takes_longer_than_a_head_may_is_waited_for(port: int) -> None:
    with caller(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            time.sleep(SECONDS / 4)
            connection.sendall(b"x")
        assert b"8 bytes" in connection.recv(65_536)


def test_a_body_that_drips_on_after_its_answer_is_cut_off(port: int) -> None:
    with caller(port) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\ncontent-length: 900\r\n\r\n")
        assert b" 401 " in connection.recv(65_536)
        connection.sendall(b"x")
        assert until_closed(connection) == b""


def test_requests_in_one_piece_are_answered_in_turn(port: int) -> None:
    with caller(port) as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\n\r\n" * 20 + b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"
        )
        assert until_closed(connection).count(b"HTTP/1.1 200 ") == 21
