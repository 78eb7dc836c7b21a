"""The service as its callers see it, and a look behind it at what it wrote down."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import api_keys, changes, environments, jobs, lenses
from semilayer_pipelines.registry.api_key import KeyKind
from semilayer_pipelines.registry.environments import Tier
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import Lens, LensStatus
from tests.movable_loop import MovableLoop
from tests.registry.given import make_lens
from tests.registry_file import lay_registry
from webhook.app import build_app

ENV = "test"


@dataclass
class Clock:
    """A clock that stands still unless it is told to go on."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Site:
    """One application, its project and two keys: `ik` and `sk`."""

    project: Project
    clock: Any
    client: TestClient
    stopping: threading.Event
    loop: MovableLoop
    ik: str = ""
    sk: str = ""

    @classmethod
    def opened(
        cls,
        registry_url: str,
        folder: Path,
        *,
        clock: Callable[[], datetime] | None = None,
        dagster_url: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Iterator[Site]:
        """Yield a site that serves, and close it."""
        settings = replace(
            Settings.from_environ({"SEMILAYER_ENV": ENV}, folder),
            registry_url=registry_url,
            dagster_url=dagster_url,
        )
        lay_registry(registry_url)
        clock, stopping = clock or Clock(), threading.Event()
        project = Project(settings, environ or {}, clock)
        make_lens(project.registry, "items", env=ENV)
        app, loop = build_app(project, stopping=stopping), MovableLoop()
        with TestClient(app, backend_options={"loop_factory": lambda: loop}) as client:
            site = cls(project, clock, client, stopping, loop)
            site.ik, site.sk = site.new_key(KeyKind.INGEST), site.new_key(KeyKind.SERVICE)
            yield site
        project.registry.close()

    def new_key(self, kind: KeyKind, env: str = ENV) -> str:
        with self.project.registry.begin() as db:
            environments.ensure(db, env, self.clock())
            _, text = api_keys.create(
                db, env, kind, "of a test", choose=secrets.choice, now=self.clock()
            )
        return text

    def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        """Call with the sk_ key, another one, or (`key=""`) none."""
        text = self.sk if key is None else key
        headers = {"authorization": f"Bearer {text}"} if text else {}
        headers |= options.pop("headers", {})
        if body is not None:
            options["json"] = body
        response = self.client.request(method, path, headers=headers, **options)
        assert isinstance(response.status_code, int)
        return response  # type: ignore[return-value]

    def ingest(self, body: Any, *, lens: str = "items", key: str | None = None) -> httpx.Response:
        return self.call("POST", f"/v1/ingest/{lens}", body, key=self.ik if key is None else key)

    def push(self, *ids: str, lens: str = "items", key: str | None = None) -> httpx.Response:
        """Say that these rows were upserted."""
        changes = [{"id": id, "action": "upsert"} for id in ids]
        return self.ingest({"mode": "records", "changes": changes}, lens=lens, key=key)

    def add_lens(self, name: str, *, env: str = ENV, status: LensStatus = LensStatus.READY) -> Lens:
        return make_lens(self.project.registry, name, env=env, status=status)

    def set_tier(self, tier: Tier) -> None:
        with self.project.registry.begin() as db:
            environments.set_tier(db, ENV, tier)

    def set_status(self, name: str, status: LensStatus) -> None:
        lens = self.lens(name)
        with self.project.registry.begin() as db:
            lenses.set_status(db, lens.id, status, now=self.clock())

    def lens(self, name: str = "items", env: str = ENV) -> Lens:
        with self.project.registry.read() as db:
            return lenses.get(db, env, name)

    def buffer(self, name: str = "items", env: str = ENV) -> list[tuple[str, str]]:
        """Return the changes of a lens, in their order."""
        lens = self.lens(name, env)
        with self.project.registry.read() as db:
            return [(c.key, c.action.value) for c in changes.since(db, lens.id, 0, 100_000)]

    def jobs(self, name: str = "items", env: str = ENV) -> list[Job]:
        """Return the jobs of a lens, the oldest first."""
        lens = self.lens(name, env)
        with self.project.registry.read() as db:
            return jobs.recent(db, lens_id=lens.id, limit=100)[::-1]

    def take(self, job: Job, lease: str = "lease-1") -> None:
        """Start a job as a run would."""
        with self.project.registry.begin() as db:
            assert jobs.take(db, job.id, lease=lease, run_id=None, now=self.clock())


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and message of a refusal; its shape is checked on the way."""
    body = response.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) <= {"code", "message", "cure"}, body
    assert response.headers["content-type"] == "application/json"
    return response.status_code, body["error"]["code"], body["error"]["message"]
