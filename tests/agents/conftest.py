"""A project with an indexed lens, and clients of its tools: as a process, and over HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.client import ConnectMode
from mcp.client.streamable_http import streamable_http_client

from semilayer_pipelines.agents.serve import http_app
from semilayer_pipelines.agents.server import make_server
from semilayer_pipelines.http.listen import listen, url_of
from semilayer_pipelines.http.server import server_config
from semilayer_pipelines.project import Project
from tests.cli.conftest import run_queued
from tests.cli.project import SEMILAYER, Folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder whose lens `items` is indexed."""
    folder = Folder.at(tmp_path_factory.mktemp("agents"), rows=60)
    for command in ("push", "resume"):
        assert folder.run(command).exit_code == 0
    run_queued(folder)
    return folder


class Agent:
    """Calls tools of one server, each call over a connection of its own."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return what a tool answered, which must be no error."""
        failed, told = self._asked(lambda client: client.call_tool(tool, arguments))
        assert not failed, told
        assert isinstance(told, dict)
        return told

    def refused(self, tool: str, **arguments: Any) -> str:
        """Return the words with which a call was refused."""
        failed, told = self._asked(lambda client: client.call_tool(tool, arguments))
        assert failed, told
        return str(told)

    def tools(self) -> list[Any]:
        async def ask() -> list[Any]:
            async with self._connect() as client:
                return list((await client.list_tools()).tools)

        return anyio.run(ask)

    def _asked(self, ask: Callable[[Client], Awaitable[Any]]) -> tuple[bool, Any]:
        async def run() -> Any:
            async with self._connect() as client:
                return await ask(client)

        result = anyio.run(run)
        if result.is_error:
            return True, result.content[0].text
        return False, result.structured_content


@pytest.fixture(scope="module")
def agent(served: Folder) -> Agent:
    """An agent that talks to the tools of the project within this process."""
    server = make_server(served.project, "development")
    return Agent(lambda: Client(server))


@pytest.fixture
def starter(served: Folder) -> Agent:
    """An agent that starts `semilayer mcp` as a process, as agents do."""
    command = StdioServerParameters(
        command=str(SEMILAYER), args=["mcp"], cwd=str(served.path), env=served.full_environ
    )
    return Agent(lambda: Client(command))


class Service:
    """The tools over HTTP, at an address of this machine."""

    def __init__(self, url: str) -> None:
        self.url = url

    def agent(self, key: str, mode: ConnectMode = "auto") -> Agent:
        def connect() -> Client:
            caller = httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"})
            return Client(streamable_http_client(self.url, http_client=caller), mode=mode)

        return Agent(connect)

    def post(self, headers: Mapping[str, str]) -> httpx.Response:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        return httpx.post(self.url, json=body, headers=dict(headers))


@pytest.fixture(scope="module")
def service(served: Folder) -> Iterator[Service]:
    """The project's tools over HTTP."""
    with running(served.project) as found:
        yield found


class running:
    """Serves a project's tools for a block."""

    def __init__(self, project: Project) -> None:
        self._address: socket.socket = listen("127.0.0.1", 0, "mcp")
        app = http_app(project, "127.0.0.1")
        self._server = uvicorn.Server(server_config(app, grace_s=5))
        self._thread = threading.Thread(target=self._server.run, args=([self._address],))

    def __enter__(self) -> Service:
        self._thread.start()
        return Service(f"{url_of(self._address)}/mcp")

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._address.close()
