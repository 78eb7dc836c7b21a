"""Running the service on a port until it is told to stop.

Stopping is graceful: no new connection, every accepted request is answered, then the process ends.
Only the command line calls this; tests and benchmarks run the same application.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from semilayer_pipelines.embedder_service.app import build_app
from semilayer_pipelines.embedder_service.model import Opened
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.http.listen import KEEP_ALIVE_S

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

    server = uvicorn.Server(
        uvicorn.Config(
            build_app(open_model, key=key, ended=stop),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
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
    try:
        server.run(sockets=[address])
    finally:
        address.close()
    for failure in failures:
        if isinstance(failure, SemilayerError):
            raise failure
        raise RuntimeError("the embedder's thread broke down") from failure
