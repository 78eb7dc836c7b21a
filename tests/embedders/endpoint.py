"""A real HTTP endpoint on a port of its own, which answers as a test tells it to."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer; `None` as the status drops the connection."""

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    """What was asked (`bodies`, `headers`, `paths`) and what is answered next (`replies`).

    With no reply left, and none by the `rule` for the texts, each text gets the vector (length,
    number of the text in the request, 1), the last text first.
    """

    url: str = ""
    replies: deque[Reply] = field(default_factory=deque)
    rule: Callable[[list[str]], Reply | None] = lambda texts: None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def asked(self) -> list[list[str]]:
        """The texts of each request."""
        return [body["input"] for body in self.bodies]


def vectors_for(body: dict[str, Any]) -> bytes:
    items = [
        {"object": "embedding", "index": i, "embedding": [len(text), i, 1]}
        for i, text in enumerate(body["input"])
    ]
    return json.dumps({"object": "list", "data": items[::-1]}).encode()


@contextmanager
def serve() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.bodies.append(body)
            endpoint.headers.append({k.lower(): v for k, v in self.headers.items()})
            endpoint.paths.append(self.path)
            reply = endpoint.replies.popleft() if endpoint.replies else endpoint.rule(body["input"])
            reply = reply or Reply(200, vectors_for(body))
            if reply.status is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {**reply.headers, "content-length": len(reply.body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
