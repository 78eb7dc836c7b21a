"""Running the server: on standard input and output, or over HTTP with a key."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from typing import Any

import anyio
import anyio.to_thread
import uvicorn
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette

from semilayer_pipelines.agents.server import ENV_KEY, make_server
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.http.server import server_config
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import PUBLIC_PREFIX, KeyKind, parse_key

__all__ = ["http_app", "serve_http", "serve_stdio"]

PATH = "/mcp"
MAX_MESSAGE_BYTES = 1024 * 1024
"""Bytes of one message of an agent."""

_GRACE_S = 30
_CREATE = "semilayer keys create --type service --name my-agent"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def serve_stdio(project: Project, env: str) -> None:
    """Serve one client, which started this process, until it closes standard input."""
    server = make_server(project, env)

    async def run() -> None:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    anyio.run(run)


def serve_http(project: Project, address: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; the key of each request names its environment."""
    host = address.getsockname()[0]
    server = uvicorn.Server(server_config(http_app(project, host), grace_s=_GRACE_S))
    with closing(address):
        server.run(sockets=[address])


def http_app(project: Project, host: str) -> Starlette:
    """Return the application; on loopback it also refuses other hosts and origins than its own."""
    app = make_server(project, None).streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=MAX_MESSAGE_BYTES,
        host=host,
    )
    app.add_middleware(_KeyRequired, project=project)
    return app


class _KeyRequired:
    """Lets a request pass that shows an `sk_` key, and notes the environment of that key."""

    def __init__(self, app: Application, project: Project) -> None:
        self._app = app
        self._project = project

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, why = await anyio.to_thread.run_sync(self._judge, scope)
        if status is None:
            await self._app(scope, receive, send)
        else:
            await _refuse(send, status, why)

    def _judge(self, scope: Scope) -> tuple[int | None, str]:
        """Return the status and words of a refusal; `None` for a request that may pass."""
        text = _bearer(scope)
        if text.startswith(PUBLIC_PREFIX):
            return 403, f"A {PUBLIC_PREFIX} key is for browsers, and none is taken here."
        key = parse_key(text)
        if key is None:
            return 401, f"Send a key: Authorization: Bearer sk_… ({_CREATE})."
        try:
            known = api_keys.recognise(self._project.registry, key, self._project.clock)
        except SemilayerError as error:
            return 503, redact(f"The registry does not answer: {error.message}")
        if known is None:
            return 401, "The key is unknown or was revoked."
        if known.kind is not KeyKind.SERVICE:
            return 403, f"Agents need an sk_ key: {_CREATE}."
        scope[ENV_KEY] = known.env
        return None, ""


def _bearer(scope: Scope) -> str:
    """Return the key's text that a request shows, empty where it shows none."""
    for name, value in scope["headers"]:
        if name.lower() == b"authorization":
            scheme, _, text = value.decode("latin-1").partition(" ")
            return text.strip() if scheme.lower() == "bearer" else ""
    return ""


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
