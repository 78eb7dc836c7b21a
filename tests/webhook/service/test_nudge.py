"""The nudge: a job whose debounce is over is launched at once, one time, and never twice."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from semilayer_pipelines.orchestration.names import BY_JOB_ID, job_tags, run_key
from semilayer_pipelines.orchestration.remote import nudge
from semilayer_pipelines.orchestration.remote.nudge import Nudge
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.lenses import LensStatus
from tests.patience import PATIENCE_SECONDS, eventually
from tests.webhook.site import Clock, Site

LAUNCHED = {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r"}}}
REFUSED = {"launchRun": {"__typename": "PythonError", "message": "the code server is gone"}}


@dataclass
class Dagster:
    """What a web server of Dagster's is asked, and answers; the real one is in test_dev.py."""

    url: str = ""
    answer: dict[str, Any] = field(default_factory=lambda: dict(LAUNCHED))
    identity: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[Dagster]:
        dagster = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if "params" in body.get("variables", {}):
                    dagster.asked.append(body["variables"]["params"])
                    told = dagster.answer
                else:
                    told = dagster.said_of_itself()
                text = json.dumps({"data": told}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def said_of_itself(self) -> dict[str, Any]:
        tags = [{"key": "semilayer/project", "value": self.identity}]
        repository = {"name": "of_a_shop", "sensors": [{"name": "due_jobs", "tags": tags}]}
        entries = [
            {"name": "broken", "locationOrLoadError": {"message": "no module"}},
            {"name": "shop.defs", "locationOrLoadError": {"repositories": [repository]}},
        ]
        return {"workspaceOrError": {"locationEntries": entries}}

    def asked_for(self, lens: str) -> list[dict[str, Any]]:
        return [
            params
            for params in self.asked
            for tag in params["executionMetadata"]["tags"]
            if tag["key"] == "semilayer/lens" and tag["value"].endswith(f":{lens}")
        ]


@pytest.fixture
def dagster() -> Iterator[Dagster]:
    with Dagster().serving() as serving:
        yield serving


@pytest.fixture
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the service looks at as well where it counts seconds."""
    clock = Clock()
    monkeypatch.setattr(nudge, "time", SimpleNamespace(monotonic=lambda: clock().timestamp()))
    monkeypatch.setattr(nudge, "LAUNCH_SECONDS", PATIENCE_SECONDS)
    return clock


@pytest.fixture
def nudging(dagster: Dagster, tmp_path: Path, time_stands_still: Clock) -> Iterator[Site]:
    url = f"sqlite:///{tmp_path}/registry.db"
    clock = time_stands_still
    for site in Site.opened(url, tmp_path, clock=clock, dagster_url=dagster.url):
        dagster.identity = site.project.registry.identity()
        yield site


def go_on(site: Site, seconds: float) -> None:
    """Let time go by for the service."""
    site.clock.go_on(seconds)
    site.loop.go_on(seconds)


def tasks(site: Site, what: Callable[..., object]) -> int:
    """Return how many tasks of the service do this now."""
    coroutines = (task.get_coro() for task in asyncio.all_tasks(site.loop))
    return sum(getattr(one, "__qualname__", "") == what.__qualname__ for one in coroutines)


def watched(site: Site, jobs: int) -> None:
    """Wait until the service watches so many jobs, and has done with the others what it does."""
    eventually(lambda: tasks(site, Nudge._watch) == jobs)


def looked_for(site: Site) -> None:
    """Wait until the service has looked for a Dagster that nobody named."""
    eventually(lambda: not tasks(site, Nudge._look))


def test_a_job_is_launched_when_its_calls_have_stopped_and_nobody_took_it(
    nudging: Site, dagster: Dagster
) -> None:
    # given lenses whose jobs go different ways while their debounce lasts
    for name in ("busy", "taken", "paused"):
        nudging.add_lens(name)
    for name in ("items", "busy", "taken", "paused"):
        nudging.push("1", lens=name)
    (job,) = nudging.jobs("items")

    # when
    go_on(nudging, 1.0)
    nudging.push("2", lens="busy")
    nudging.take(nudging.jobs("taken")[0])
    nudging.set_status("paused", LensStatus.PAUSED)
    go_on(nudging, 1.5)

    # then the first is launched as the sensor would have, and no other: a run has one job already,
    # another lens is paused, and the busy one waits
    watched(nudging, 1)
    (asked,) = dagster.asked
    config = {"lens": BY_JOB_ID, "job_id": job.id}
    assert asked["runConfigData"] == {"ops": {"run_records_ingest": {"config": config}}}
    assert asked["selector"] == {
        "repositoryLocationName": "shop.defs",
        "repositoryName": "of_a_shop",
        "jobName": "records_ingest",
    }
    tags = {tag["key"]: tag["value"] for tag in asked["executionMetadata"]["tags"]}
    assert tags == job_tags(job) | {"dagster/run_key": run_key(job)}

    # and the busy one later
    go_on(nudging, 1.0)
    watched(nudging, 0)
    assert len(dagster.asked_for("busy")) == 1
    assert len(dagster.asked) == 2


def test_a_burst_of_lenses_launches_two_runs_which_do_all_of_their_jobs(
    nudging: Site, dagster: Dagster
) -> None:
    # given
    names = [f"lens{number}" for number in range(6)]
    for name in names:
        nudging.add_lens(name)

    # when
    for name in names:
        nudging.push("1", lens=name)
    go_on(nudging, 2.5)
    watched(nudging, 0)

    # then the sensor has what those two leave
    assert len(dagster.asked) == 2
    with nudging.project.registry.read() as db:
        later = nudging.clock() + timedelta(seconds=10)
        assert {job.lens for job in jobs.due(db, later)} == set(names)


def test_after_a_launch_that_failed_jobs_are_left_to_the_sensor(
    nudging: Site, dagster: Dagster
) -> None:
    # given
    dagster.answer = dict(REFUSED)
    nudging.add_lens("orders")
    nudging.push("1")
    go_on(nudging, 2.5)
    watched(nudging, 0)

    # when
    nudging.push("1", lens="orders")
    go_on(nudging, 2.5)

    # then nobody waits for it
    watched(nudging, 0)
    assert len(dagster.asked) == 1
    with nudging.project.registry.read() as db:
        due = [job.lens for job in jobs.due(db, nudging.clock())]
    assert due == ["orders"]


def test_nothing_is_launched_in_another_projects_dagster(nudging: Site, dagster: Dagster) -> None:
    dagster.identity = "of another registry"

    nudging.push("1")
    watched(nudging, 1)
    go_on(nudging, 2.5)

    watched(nudging, 0)
    assert not dagster.asked


def test_without_a_web_server_every_job_is_the_sensors(site: Site) -> None:
    site.push("1")
    site.clock.go_on(2)

    with site.project.registry.read() as db:
        assert len(jobs.due(db, site.clock())) == 1


def test_a_web_server_that_nobody_named_is_found_where_dagsters_commands_listen(
    dagster: Dagster, tmp_path: Path, time_stands_still: Clock
) -> None:
    port = dagster.url.rpartition(":")[2]
    environ = {"DAGSTER_WEBSERVER_PORT": port}
    url = f"sqlite:///{tmp_path}/registry.db"
    for site in Site.opened(url, tmp_path, clock=time_stands_still, environ=environ):
        # given: the first call makes the webhook look
        dagster.identity = site.project.registry.identity()
        site.add_lens("first")
        site.push("1", lens="first")
        looked_for(site)

        # when
        site.push("1")
        go_on(site, 2.5)

        # then
        eventually(lambda: dagster.asked_for("items"))


def test_a_full_ingest_is_always_the_sensors(nudging: Site) -> None:
    nudging.ingest({"mode": "full"})

    with nudging.project.registry.read() as db:
        assert len(jobs.due(db, nudging.clock())) == 1
