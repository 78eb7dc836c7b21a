"""A caller cannot hold a connection, or fill the memory, with a head that never ends."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from semilayer_pipelines.http.heads import HEAD_SECONDS, MAX_HEAD_BYTES, BoundedHeads
from tests.movable_loop import MovableLoop
from tests.patience import PATIENCE_SECONDS, eventually

LONGER = HEAD_SECONDS * 1.5


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def _early(request: Request) -> PlainTextResponse:
    return PlainTextResponse("no body was read", 401)


@dataclass
class Service:
    """A service, and its clock."""

    port: int
    loop: MovableLoop
    server: uvicorn.Server

    @property
    def waits_for_a_head(self) -> bool:
        """Whether the clock runs against the one caller."""
        (connection,) = self.server.server_state.connections
        return connection._deadline is not None  # type: ignore[union-attr]

    @contextmanager
    def caller(self) -> Iterator[socket.socket]:
        """A connection that the service knows of, and no other."""
        connections = self.server.server_state.connections
        eventually(lambda: not connections)
        address = ("127.0.0.1", self.port)
        with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
            eventually(lambda: connections)
            yield connection


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    app = Starlette(
        routes=[
            Route("/", _echo, methods=["GET", "POST"]),
            Route("/early", _early, methods=["POST"]),
        ]
    )
    listening, loop = socket.create_server(("127.0.0.1", 0)), MovableLoop()
    config = uvicorn.Config(
        app, http=BoundedHeads, log_level="error", ws="none", timeout_keep_alive=9_999
    )
    server = uvicorn.Server(config)

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(sockets=[listening]))

    thread = threading.Thread(target=serve)
    thread.start()
    eventually(lambda: server.started)
    yield Service(listening.getsockname()[1], loop, server)
    server.should_exit = True
    thread.join()
    listening.close()


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass  # closed while we were still sending
    return received


def receive(connection: socket.socket, text: bytes) -> None:
    """Receive until a text has come."""
    received = b""
    while text not in received:
        chunk = connection.recv(65_536)
        assert chunk, received
        received += chunk


def is_open(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    return not readable


def test_a_connection_on_which_nothing_comes_is_closed(service: Service) -> None:
    with service.caller() as connection:
        service.loop.go_on(HEAD_SECONDS / 2)
        assert is_open(connection)
        service.loop.go_on(HEAD_SECONDS)
        assert until_closed(connection) == b""


def test_a_head_that_drips_in_is_answered_with_408(service: Service) -> None:
    with service.caller() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        for n in range(2):
            assert is_open(connection)
            connection.sendall(b"x-%d: y\r\n" % n)
            service.loop.go_on(HEAD_SECONDS * 0.6)
        assert until_closed(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 200_000,
        b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 40_000,
        b"GET / HTTP/1.1\r\nx: " + b"y" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
    ],
)
def test_a_head_that_is_too_long_is_answered_with_431(service: Service, head: bytes) -> None:
    with service.caller() as connection:
        try:
            connection.sendall(head)
        except (ConnectionResetError, BrokenPipeError):
            return  # refused before all of it was sent
        received = until_closed(connection)
    assert received == b"" or received.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("path", "answer"), [(b"/", b"HTTP/1.1 431 "), (b"/early", b"HTTP/1.1 401 ")]
)
@pytest.mark.parametrize("end", [b"\r\n", b""], ids=["many", "one"])
def test_trailers_that_never_end_are_cut_off(
    service: Service, path: bytes, answer: bytes, end: bytes
) -> None:
    with service.caller() as connection:
        head = b"POST " + path + b" HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.sendall(head + b"1\r\na\r\n0\r\nx: ")
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(100):
                connection.sendall(b"y" * 100_000 + (end and end + b"x: "))
        received = until_closed(connection)
    assert received == b"" or received.startswith(answer)


def test_a_trailer_is_no_fault(service: Service) -> None:
    with service.caller() as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
            connection.sendall(b"1\r\na\r\n0\r\nx: y\r\n\r\n")
            receive(connection, b"1 bytes")


def test_a_long_body_in_one_chunk_is_none_either(service: Service) -> None:
    with service.caller() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.sendall(b"%x\r\n" % 900_000 + b"a" * 900_000 + b"\r\n0\r\n\r\n")
        receive(connection, b"900000 bytes")


def test_a_long_head_within_the_bound_is_answered_and_a_second_one_too(service: Service) -> None:
    head = b"POST / HTTP/1.1\r\nx: " + b"y" * 60_000 + b"\r\ncontent-length: 5\r\n\r\nhello"
    with service.caller() as connection:
        for _ in range(3):
            connection.sendall(head)
            receive(connection, b"5 bytes")
            service.loop.go_on(LONGER)  # idle between calls, which is no slow head


def test_a_second_head_that_never_ends_is_closed_too(service: Service) -> None:
    with service.caller() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receive(connection, b"\r\n\r\n0 bytes")
        connection.sendall(b"GET / HT")
        eventually(lambda: service.waits_for_a_head)
        service.loop.go_on(LONGER)
        assert until_closed(connection).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_takes_longer_than_a_head_may_is_waited_for(service: Service) -> None:
    with service.caller() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\ncontent-length: 8\r\n\r\n")
        eventually(lambda: not service.waits_for_a_head)
        for _ in range(8):
            service.loop.go_on(LONGER)
            connection.sendall(b"x")
        receive(connection, b"8 bytes")


def test_a_body_that_drips_on_after_its_answer_is_cut_off(service: Service) -> None:
    with service.caller() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\ncontent-length: 900\r\n\r\n")
        receive(connection, b"no body was read")
        connection.sendall(b"x")
        eventually(lambda: service.waits_for_a_head)
        service.loop.go_on(LONGER)
        assert until_closed(connection) == b""


def test_requests_in_one_piece_are_answered_in_turn(service: Service) -> None:
    with service.caller() as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\n\r\n" * 20 + b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"
        )
        assert until_closed(connection).count(b"HTTP/1.1 200 ") == 21
