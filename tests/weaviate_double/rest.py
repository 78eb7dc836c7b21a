"""The REST side as a server: a socket that can be closed, cut and opened again."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.weaviate_double.port import Tls
from tests.weaviate_double.roles import Denied
from tests.weaviate_double.routes import Reply, Routes
from tests.weaviate_double.rules import Refused

_NO_KEY = (
    "anonymous access not enabled. Please authenticate through one of the available methods: "
    "[API-keys]"
)


@dataclass
class Rest:
    """Serves `routes`; every path that was asked for is noted in `asked`."""

    port: int
    routes: Routes
    api_key: str | None
    tls: Tls | None
    asked: list[str] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)
    answers_early: bool = False  # it may also answer from a schema that it has not read yet
    _server: _Server | None = None

    def start(self, *, ready: bool = True) -> None:
        """Listen; a server that is not ready yet answers its probes only."""
        if ready:
            self.ready.set()
        else:
            self.ready.clear()
        server = _Server(("127.0.0.1", self.port), _handler(self))
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.certificate, self.tls.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Cut every connection and listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut()

    def reply(self, verb: str, url: str, key: str | None, body: Any) -> Reply:
        parts = urlsplit(url)
        path, query = parts.path.removeprefix("/v1"), dict(parse_qsl(parts.query))
        self.asked.append(path)
        if path == "/.well-known/ready":
            return (200 if self.ready.is_set() else 503), None
        if path == "/.well-known/live":
            return 200, None
        if self.api_key and key != f"Bearer {self.api_key}":
            said = _NO_KEY if key is None else "unauthorized: invalid api key"
            return 401, {"code": 401, "message": said}
        if path != "/meta" and not self.answers_early:
            self.ready.wait(30)  # a server that comes up keeps its callers waiting
        try:
            with self.routes.state.lock:
                return self.routes.answer(verb, path, query, body)
        except Refused as refused:
            return refused.status, _error(refused)
        except Denied as denied:
            return 403, _error(denied)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for request in list(self._open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # its other side was quicker


def _handler(rest: Rest) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            key = self.headers.get("authorization")
            status, reply = rest.reply(self.command, self.path, key, body)
            sent = b"" if reply is None else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    return Handler


def _error(error: Exception) -> dict[str, Any]:
    return {"error": [{"message": str(error)}]}
