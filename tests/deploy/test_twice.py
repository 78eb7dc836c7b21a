"""A second daemon and a second webhook on one PostgreSQL, where one is meant to be, do no harm."""

from __future__ import annotations

import itertools
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from semilayer_pipelines.dev.dagster import WORKSPACE
from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import JobStatus
from semilayer_pipelines.registry.jobs.job import Job
from tests.cli.project import SEMILAYER, Folder
from tests.deploy.test_deploy import DEPLOY
from tests.orchestration.dev import Dev, until
from tests.servers import database, postgres_url

ROWS = 300
SECONDS = 45.0  # longer than a daemon takes to see the other one
TERMINAL_STATUSES = {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED}


@contextmanager
def started(dev: Dev, name: str, *command: str | Path) -> Iterator[Path]:
    """Run one more program in the folder, beside the same code server; yield its log."""
    log = dev.folder.path / f"{name}.log"
    environ = dev.folder.full_environ | {
        "DAGSTER_HOME": str(dev.folder.path),
        "SEMILAYER_CODE_SERVER_HOST": "127.0.0.1",
        "SEMILAYER_CODE_SERVER_PORT": code_port(dev),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=dev.folder.path, env=environ, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield log
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def code_port(dev: Dev) -> str:
    """Return the port of the code server that a `semilayer dev` started."""
    for pid in dev.family():
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if "code-server" in words:
            return words[words.index("-p") + 1]
    raise AssertionError("no code server")


def of_lens(dev: Dev) -> list[Job]:
    with dev.folder.project.registry.read() as db:
        return jobs.recent(db, limit=500)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_second_daemon_and_a_second_webhook_do_no_harm(tmp_path: Path) -> None:
    with database(postgres_url()) as url:
        # given a project whose state is all in one database, with everything started once
        folder = Folder.at(tmp_path, rows=ROWS)
        dev = Dev(folder)
        shutil.copy(DEPLOY / "dagster.yaml", folder.path / "dagster.yaml")
        with_driver = make_url(url).set(drivername="postgresql+psycopg2")
        folder.environ |= {
            "SEMILAYER_REGISTRY_URL": url,
            "DAGSTER_POSTGRES_URL": with_driver.render_as_string(hide_password=False),
        }
        assert folder.run("push").exit_code == 0
        try:
            dev.start()
            dev.waiting_command("resume", "--lens", "items", "--wait")

            # when a second daemon and webhook come, and both webhooks are told of changes
            port = free_port()
            dagster = SEMILAYER.with_name("dagster-daemon")
            with (
                started(dev, "daemon", dagster, "run", "-w", WORKSPACE) as log,
                started(dev, "webhook", SEMILAYER, "webhook", "--port", str(port)),
                dev.webhook as first,
                httpx.Client(
                    base_url=f"http://127.0.0.1:{port}", headers=first.headers, timeout=40
                ) as second,
            ):
                until(lambda: answers(second), 60, "the second webhook")
                called = call_in_turn(folder, first, second)
                folder.run("sync", "--lens", "items")
                until(
                    lambda: all(job.status in TERMINAL_STATUSES for job in of_lens(dev)),
                    90,
                    "all jobs",
                )
                assert "multiple daemon processes" in log.read_text()
        finally:
            dev.stop()

        # then every job was done once, and nothing is missing or doubled
        done = of_lens(dev)
        assert called > 3
        assert {(job.status, job.attempt) for job in done} == {(JobStatus.COMPLETED, 1)}
        assert folder.run("verify").exit_code == 0


def answers(webhook: httpx.Client) -> bool:
    try:
        return webhook.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def call_in_turn(folder: Folder, *webhooks: httpx.Client) -> int:
    """Change a row and tell one of the webhooks, until time is up; return how many calls."""
    began = time.monotonic()
    for number, webhook in enumerate(itertools.cycle(webhooks)):
        if time.monotonic() - began > SECONDS:
            return number
        key = number % ROWS + 1
        with closing(sqlite3.connect(folder.database)) as db, db:
            db.execute("UPDATE items SET name = ? WHERE id = ?", (f"new {number}", key))
        told = {"mode": "records", "changes": [{"id": str(key), "action": "upsert"}]}
        assert webhook.post("/v1/ingest/items", json=told).status_code == 202
        time.sleep(1)
    raise AssertionError("not reached")
