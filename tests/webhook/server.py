"""The service as a process of its own, started the way a person starts it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.http.listen import listen, url_of
from semilayer_pipelines.http.server import server_config
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import api_keys, environments
from semilayer_pipelines.registry.api_key import KeyKind
from semilayer_pipelines.registry.environments import Tier
from tests.patience import PATIENCE_SECONDS, eventually
from tests.registry.given import make_lens
from webhook.app import build_app

SEMILAYER = Path(sys.executable).with_name("semilayer")
ENV = "test"


@dataclass
class Place:
    """A project folder over a registry, with the lens `items` and two keys."""

    folder: Path
    registry_url: str
    project: Project
    ik: str
    sk: str

    @classmethod
    def at(cls, folder: Path, registry_url: str = "", *, tier: Tier | None = None) -> Place:
        """Make a folder whose lens has no source: it can be told of changes and no more."""
        url = registry_url or f"sqlite:///{folder}/registry.db"
        environ = {"SEMILAYER_ENV": ENV, "SEMILAYER_REGISTRY_URL": url}
        project = Project(Settings.from_environ(environ, folder), environ)
        make_lens(project.registry, "items", env=ENV)
        if tier is not None:
            with project.registry.begin() as db:
                environments.set_tier(db, ENV, tier)
        return cls.of(project)

    @classmethod
    def of(cls, project: Project) -> Place:
        """Issue keys for a project that is there."""
        texts = []
        with project.registry.begin() as db:
            for kind in (KeyKind.INGEST, KeyKind.SERVICE):
                _, text = api_keys.create(
                    db, ENV, kind, "of a test", choose=secrets.choice, now=project.clock()
                )
                texts.append(text)
        return cls(project.settings.root, project.settings.registry_url, project, *texts)

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SEMILAYER_")}
        return kept | {"SEMILAYER_ENV": ENV, "SEMILAYER_REGISTRY_URL": self.registry_url}

    @property
    def ingest_headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.ik}"}

    @contextmanager
    def serving(self, *options: str, until: str = "/readyz") -> Iterator[Server]:
        """Start the service on a free port, and end it whatever happens."""
        server = Server.started(self, *options, until=until)
        try:
            yield server
        finally:
            server.end()

    @contextmanager
    def answering(self) -> Iterator[str]:
        """Serve in a thread of this process, which is up at once; yield its address."""
        address = listen("127.0.0.1", 0, "webhook")
        server = uvicorn.Server(server_config(build_app(self.project), grace_s=30))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [address]})
        thread.start()
        try:
            eventually(lambda: server.started)
            yield url_of(address)
        finally:
            server.should_exit = True
            thread.join()
            address.close()


@dataclass
class Server:
    """A running service; `url` is its address."""

    process: subprocess.Popen[str]
    url: str

    @classmethod
    def started(
        cls, place: Place, *options: str, until: str = "/readyz", port: int | None = None
    ) -> Server:
        port = port or free_port()
        process = subprocess.Popen(
            [SEMILAYER, "webhook", "--port", str(port), *options],
            cwd=place.folder,
            env=place.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        server = cls(process, f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the service does not come up"
            try:
                if httpx.get(server.url + until).status_code == 200:
                    return server
            except httpx.TransportError:
                time.sleep(0.02)

    def kill(self) -> None:
        """End every process of it at this instruction."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> str:
        """End it as Ctrl-C does, if it still runs; return all that it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            printed, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return printed
