"""A real HTTP server that takes changes as the webhook does, and fails as a test tells it to.

It keeps what it acknowledged in order of arrival: `acknowledged` is the truth that a client's
promises are checked against. An acknowledgement that gets lost on its way back counts as one.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from semilayer_pipelines.dev.supervisor import free_port

KEY = "ik_development_s3cr3tS3CR3Ts3cr3t"


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of a receipt.

    `status`: answered with it; `None`: the connection is reset. `after`: first the changes are
    taken, so that only the answer is lost. `delay`: seconds before anything else.
    """

    status: int | None = 500
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b'{"error": {"code": "down", "message": "try later"}}'
    after: bool = False
    delay: float = 0.0


Batch = list[tuple[str, str]]


@dataclass
class Service:
    """What arrived and what is answered next; with no fault left, receipts."""

    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: list[Batch] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    on_acknowledged: Callable[[Batch], None] = lambda _batch: None
    turned_away: Callable[[], bool] = lambda: False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def last_actions(self) -> dict[str, str]:
        """The newest acknowledged action of each id."""
        with self.lock:
            return {id: action for batch in self.acknowledged for id, action in batch}

    def take(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        mode, changes = body.get("mode"), body.get("changes", [])
        batch = [(change["id"], change["action"]) for change in changes]
        if len(batch) > 10_000:
            return 400, {"error": {"code": "too_many_changes", "message": "over 10,000"}}
        if len({id for id, _ in batch}) < len(batch):
            return 400, {"error": {"code": "bad_request", "message": "an id came twice"}}
        with self.lock:
            self.modes.append(str(mode))
            receipt = {"jobId": f"job-{len(self.modes)}", "status": "queued"}
            if mode != "records":
                return 202, receipt
            self.acknowledged.append(batch)
            self.on_acknowledged(batch)
            return 202, {**receipt, "changesBuffered": sum(map(len, self.acknowledged))}

    def next_fault(self) -> Fault | None:
        with self.lock:
            return self.faults.pop(0) if self.faults else None


@contextmanager
def serve(service: Service | None = None) -> Iterator[Service]:
    """Serve on a free port, or again on the port that the service had."""
    served = Service() if service is None else service

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One segment for head and body: two would wait for each other's acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            with served.lock:
                served.at_once += 1
                served.most_at_once = max(served.most_at_once, served.at_once)
            try:
                self.answer()
            finally:
                with served.lock:
                    served.at_once -= 1

        def answer(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            served.arrivals.append(time.monotonic())
            served.paths.append(self.path)
            served.sizes.append(len(raw))
            if self.headers["authorization"] != f"Bearer {KEY}":
                said = f"unknown key {self.headers['authorization']}"
                self.reply(401, {"error": {"code": "unauthorized", "message": said}})
                return
            fault = Fault(None) if served.turned_away() else served.next_fault()
            if fault is None:
                self.reply(*served.take(json.loads(raw)))
                return
            time.sleep(fault.delay)
            if fault.after:
                served.take(json.loads(raw))
            if fault.status is None:
                # Discards what was not sent and sends RST instead of FIN.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                return
            self.write(fault.status, fault.body, fault.headers)

        def do_GET(self) -> None:
            served.paths.append(self.path)
            job = served.jobs.pop(0) if len(served.jobs) > 1 else served.jobs[0]
            self.reply(200, job)

        def reply(self, status: int, body: dict[str, Any]) -> None:
            self.write(status, json.dumps(body).encode(), ())

        def write(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
            self.send_response(status)
            for name, value in (("content-length", str(len(body))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that went away is part of the test."""

    served.port = served.port or free_port()
    server = Server(("127.0.0.1", served.port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
