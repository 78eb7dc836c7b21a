"""Running the service until it is told to stop, in one process or several.

Stopping is graceful: no new connection, every call that was taken is answered, every accepted
change is written; then the processes end.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from semilayer_pipelines.http.server import server_config
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact_logs
from webhook.app import build_app

__all__ = ["create_app", "serve"]

_GRACE_S = 30


def create_app() -> Starlette:
    """Return the application of the project of this process's folder and environment."""
    redact_logs()
    return _told_to_stop(Project.here())


def serve(project: Project, address: socket.socket, *, workers: int = 1) -> None:
    """Serve at an address until SIGINT or SIGTERM; several workers share it."""
    with closing(address):
        if workers == 1:
            config = server_config(_told_to_stop(project), grace_s=_GRACE_S)
            uvicorn.Server(config).run(sockets=[address])
        else:
            # A worker is a fresh process, which opens the project by itself.
            config = server_config(
                "webhook.serve:create_app", factory=True, workers=workers, grace_s=_GRACE_S
            )
            Multiprocess(config, sockets=[address]).run()


def _told_to_stop(project: Project) -> Starlette:
    """Return an application that hears of the signal which ends its server.

    Without it, a look-up that waits for a job would keep the server for as long as it may.
    """
    stopping = threading.Event()
    app = build_app(project, stopping=stopping)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # The server has set its handlers by now, and puts the former ones back when it ends.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _first(stopping.set, signal.getsignal(number)))
        async with inner(app):
            yield

    app.router.lifespan_context = lifespan
    return app


def _first(
    told: Callable[[], None], then: Callable[[int, FrameType | None], object] | int | None
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        told()
        if callable(then):
            then(number, frame)

    return handle
