"""A server that alerts are sent to: a real one, which notes what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Takes every message, unless `status` says otherwise; `location` is where it redirects to."""

    def __init__(self) -> None:
        self.status = 204
        self.said = b""
        self.location: str | None = None
        self.slow = threading.Event()
        self.slow.set()
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.url = ""

    @property
    def told(self) -> list[tuple[str, str]]:
        """What it was told, as state and kind."""
        return [(one["state"], one["kind"]) for one in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.paths.append(self.path)
            receiver.got.append(json.loads(body))
            receiver.slow.wait(30)
            self.send_response(receiver.status)
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", str(len(receiver.said)))
            self.end_headers()
            self.wfile.write(receiver.said)

        do_GET = do_POST

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook/s3cret-path"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.slow.set()
        server.shutdown()
        server.server_close()
        thread.join()
