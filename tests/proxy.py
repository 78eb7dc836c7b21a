"""A TCP proxy that counts and can be cut: to its clients, the server behind it is gone then."""

from __future__ import annotations

import contextlib
import socket
import threading

from semilayer_pipelines.dev.supervisor import free_port

__all__ = ["Proxy"]


class Proxy:
    """Forwards connections on `port` to a server, until it is cut and once it is mended.

    `sent` is how many bytes the server sent.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._open: list[socket.socket] = []
        self._told: list[int] = []
        self.port = free_port()
        self.mend()

    @property
    def sent(self) -> int:
        return sum(self._told)

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        # Shut down first: a thread that waits for a connection would keep the port open.
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def mend(self) -> None:
        """Listen again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            nothing: list[int] = []
            for source, sink, told in ((client, server, nothing), (server, client, self._told)):
                threading.Thread(target=_pump, args=(source, sink, told), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, told: list[int]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            told.append(len(data))
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
