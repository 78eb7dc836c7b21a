"""The nudge: a job whose debounce is over is launched at once, one time, and never twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.orchestration.names import BY_JOB_ID
from semilayer_pipelines.project import utc_now
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.lenses import LensStatus
from tests.webhook.site import Site

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
        threading.Thread(target=server.serve_forever, daemon=True).start()
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
def nudging(dagster: Dagster, tmp_path: Path) -> Iterator[Site]:
    url = f"sqlite:///{tmp_path}/registry.db"
    for site in Site.opened(url, tmp_path, clock=utc_now, dagster_url=dagster.url):
        dagster.identity = site.project.registry.identity()
        yield site


def test_a_job_is_launched_when_its_calls_have_stopped_and_nobody_took_it(
    nudging: Site, dagster: Dagster
) -> None:
    # given lenses whose jobs go different ways while their debounce lasts
    for name in ("busy", "taken", "paused"):
        nudging.add_lens(name)
    for name in ("items", "busy", "taken", "paused"):
        nudging.push("1", lens=name)
    (job,) = nudging.jobs("items")
    began = time.monotonic()

    # when
    time.sleep(1.0)
    nudging.push("2", lens="busy")
    nudging.take(nudging.jobs("taken")[0])
    nudging.set_status("paused", LensStatus.PAUSED)
    while not dagster.asked:
        assert time.monotonic() - began < 60
        time.sleep(0.02)
    waited = time.monotonic() - began

    # then the first is launched as the sensor would have, and the busy one later
    assert 1.9 < waited < 4
    (asked,) = dagster.asked
    config = {"lens": BY_JOB_ID, "job_id": job.id}
    assert asked["runConfigData"] == {"ops": {"run_records_ingest": {"config": config}}}
    assert asked["selector"] == {
        "repositoryLocationName": "shop.defs",
        "repositoryName": "of_a_shop",
        "jobName": "records_ingest",
    }
    assert {"key": ".dagster/semilayer-job", "value": job.id} in asked["executionMetadata"]["tags"]
    time.sleep(2.0)
    assert len(dagster.asked_for("busy")) == 1

    # and no other: a run has one job already, the other lens is paused
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
    time.sleep(4.0)

    # then the sensor has what those two leave
    assert len(dagster.asked) == 2
    with nudging.project.registry.read() as db:
        later = utc_now() + timedelta(seconds=10)
        assert {job.lens for job in jobs.due(db, later)} == set(names)


def test_after_a_launch_that_failed_jobs_are_left_to_the_sensor(
    nudging: Site, dagster: Dagster
) -> None:
    # given
    dagster.answer = dict(REFUSED)
    nudging.add_lens("orders")
    nudging.push("1")
    while not dagster.asked:
        time.sleep(0.02)
    time.sleep(0.2)

    # when
    nudging.push("1", lens="orders")
    time.sleep(2.5)

    # then nobody waits for it
    assert len(dagster.asked) == 1
    with nudging.project.registry.read() as db:
        due = [job.lens for job in jobs.due(db, utc_now())]
    assert due == ["orders"]


def test_nothing_is_launched_in_another_projects_dagster(nudging: Site, dagster: Dagster) -> None:
    dagster.identity = "of another registry"

    nudging.push("1")
    time.sleep(3.0)

    assert not dagster.asked


def test_without_a_web_server_every_job_is_the_sensors(site: Site) -> None:
    site.push("1")
    site.clock.go_on(2)

    with site.project.registry.read() as db:
        assert len(jobs.due(db, site.clock())) == 1


def test_a_web_server_that_nobody_named_is_found_where_dagsters_commands_listen(
    dagster: Dagster, tmp_path: Path
) -> None:
    port = dagster.url.rpartition(":")[2]
    environ = {"DAGSTER_WEBSERVER_PORT": port}
    url = f"sqlite:///{tmp_path}/registry.db"
    for site in Site.opened(url, tmp_path, clock=utc_now, environ=environ):
        # given: the first call makes the webhook look
        dagster.identity = site.project.registry.identity()
        site.add_lens("first")
        site.push("1", lens="first")
        time.sleep(1.0)

        # when
        site.push("1")

        # then
        deadline = time.monotonic() + 6
        while not dagster.asked_for("items"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_full_ingest_is_always_the_sensors(nudging: Site) -> None:
    nudging.ingest({"mode": "full"})

    with nudging.project.registry.read() as db:
        assert len(jobs.due(db, utc_now())) == 1
