"""Running the service on a port until it is told to stop.

Stopping is graceful: no new connection, every accepted request is answered, then the process ends.
Only the command line calls this; tests and benchmarks run the same application.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

import uvicorn

from semilayer_pipelines.embedder_service.app import build_app
from semilayer_pipelines.embedder_service.model import Opened
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.http.server import server_config

__all__ = ["make_server", "serve"]

_GRACE_S = 120


def make_server(
    open_model: Callable[[], Opened],
    *,
    key: str | None = None,
    ended: Callable[[Exception], object] = lambda error: None,
) -> uvicorn.Server:
    """Return a server that has not started; it stops by itself when the model does not load."""

    def stop(error: Exception) -> None:
        ended(error)
        server.should_exit = True

    app = build_app(open_model, key=key, ended=stop)
    server = uvicorn.Server(server_config(app, grace_s=_GRACE_S))
    return server


def serve(
    open_model: Callable[[], Opened],
    *,
    address: socket.socket,
    key: str | None,
    ready: Callable[[Opened], object],
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called on another thread when the model is loaded.

    Raises what keeps the model from loading.
    """
    failures: list[Exception] = []

    def opening() -> Opened:
        opened = open_model()
        ready(opened)
        return opened

    server = make_server(opening, key=key, ended=failures.append)
    with closing(address):
        server.run(sockets=[address])
    for failure in failures:
        if isinstance(failure, SemilayerError):
            raise failure
        raise RuntimeError("the embedder's thread broke down") from failure
