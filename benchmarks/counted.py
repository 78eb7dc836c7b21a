"""A way to a database that counts what the server sends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import make_url

__all__ = ["counting"]


@contextmanager
def counting(url: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield another URL of a server's, and what tells the bytes that it sent through that."""
    server = make_url(url)
    assert server.host is not None
    assert server.port is not None
    sent: list[int] = []
    listener = socket.create_server(("127.0.0.1", 0))
    target = (server.host, server.port)
    threading.Thread(target=_accept, args=(listener, target, sent), daemon=True).start()
    port = listener.getsockname()[1]
    try:
        through = server.set(host="127.0.0.1", port=port)
        yield through.render_as_string(hide_password=False), lambda: sum(sent)
    finally:
        listener.close()


def _accept(listener: socket.socket, target: tuple[str, int], sent: list[int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            nothing: list[int] = []
            for source, sink, told in ((client, server, nothing), (server, client, sent)):
                threading.Thread(target=_pump, args=(source, sink, told), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, told: list[int]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            told.append(len(data))
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
