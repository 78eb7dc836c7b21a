"""A project of several ingested lenses over one table of Debian's catalogue."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import polars as pl

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import api_keys, generations, jobs, lenses, page_log
from semilayer_pipelines.registry.api_key import KeyKind
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.registry.page_log import LoggedPage

__all__ = ["ENV", "Dev", "Site"]

_ROOT = Path(__file__).resolve().parents[1]
_SAMPLE = _ROOT / "examples" / "debian" / "packages.parquet"
_SEMILAYER = Path(sys.executable).with_name("semilayer")
ENV = "bench"
_UP_SECONDS = 120.0
_EVENTS = """
import json, sys
import dagster as dg
with dg.DagsterInstance.get() as instance:
    created = instance.get_run_record_by_id(sys.argv[1]).create_timestamp.timestamp()
    marks = {"created": created}
    for entry in instance.all_logs(sys.argv[1]):
        if entry.dagster_event is not None:
            name = entry.dagster_event.event_type_value
            if "Started process" in (entry.dagster_event.message or ""):
                name = "PROCESS"
            marks.setdefault(name, entry.timestamp)
print(json.dumps(marks))
"""


@dataclass(frozen=True)
class Site:
    """The project; every lens shows the row `key`."""

    folder: Path
    project: Project
    key: str
    lenses: list[str]
    service_key: str

    @classmethod
    def at(
        cls,
        folder: Path,
        *,
        number: int,
        rows: int,
        provider: str,
        others: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Site:
        """Make the table and the lenses, and ingest them here, without Dagster.

        `others` are pushed besides, with these keys of their configuration changed.
        """
        sample = pl.read_parquet(_SAMPLE, columns=["name", "summary", "description"]).head(rows)
        with closing(sqlite3.connect(folder / "source.db")) as table, table:
            table.execute(
                "CREATE TABLE packages (name TEXT PRIMARY KEY, summary TEXT, more TEXT, "
                "updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
            )
            table.executemany(
                "INSERT INTO packages (name, summary, more) VALUES (?, ?, ?)", sample.iter_rows()
            )
        text = {"type": "text", "searchable": True}
        lens = {
            "source": "main",
            "table": "packages",
            "primaryKey": "name",
            "embedding": {"provider": provider},
            "fields": {"summary": text, "more": text},
        }
        source = {"bridge": "sql", "connection": f"sqlite:///{folder / 'source.db'}"}
        names = [f"lens-{at}" for at in range(number)]
        config = {
            "stack": "bench",
            "sources": {"main": source},
            "lenses": dict.fromkeys(names, lens)
            | {name: lens | dict(changes) for name, changes in (others or {}).items()},
        }
        (folder / "sl.config.yaml").write_text(json.dumps(config))
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(_ROOT / name, folder / name)
        project = Project(Settings.from_environ({"SEMILAYER_ENV": ENV}, folder))
        apply_push(project, plan_push(project, load_config(folder / "sl.config.yaml"), ENV))
        for name in names:
            _ingest(project, name)
        with project.registry.begin() as db:
            now = project.clock()
            _, key = api_keys.create(
                db, ENV, KeyKind.SERVICE, "bench", choose=secrets.choice, now=now
            )
        return cls(folder, project, sample["name"][0], names, key)

    def edit(self, text: str) -> None:
        """Give the row another text."""
        with closing(sqlite3.connect(self.folder / "source.db")) as table, table:
            table.execute(
                "UPDATE packages SET summary = ?, updated_at = CURRENT_TIMESTAMP WHERE name = ?",
                (text, self.key),
            )

    def shows(self, lens: str) -> object:
        """Return the row's text in the index."""
        with self.project.registry.read() as db:
            active = generations.active(db, lenses.get(db, ENV, lens).id)
        assert active is not None
        row = self.project.store(ENV).open(active.index_name).get(self.key)
        return row and row["summary"]

    def progress(self, job_id: str) -> tuple[Job, list[LoggedPage]]:
        """Return a job and its pages so far."""
        with self.project.registry.read() as db:
            return jobs.get(db, job_id), page_log.of_job(db, job_id, limit=1)

    def marks(self, run_id: str) -> dict[str, float]:
        """Return when Dagster had each first event of a run, and `created`; seconds since 1970."""
        done = subprocess.run(
            [sys.executable, "-c", _EVENTS, run_id],
            cwd=self.folder,
            env=self.environ | {"DAGSTER_HOME": str(self.folder)},
            check=True,
            stdout=subprocess.PIPE,
        )
        marks: dict[str, float] = json.loads(done.stdout)
        return marks

    @property
    def environ(self) -> dict[str, str]:
        """The environment of everything that is started for it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEMILAYER_", "DAGSTER_"))}
        return kept | {"SEMILAYER_ENV": ENV, "PYTHONPATH": str(_ROOT)}

    @contextmanager
    def dev(self, *, ui: bool) -> Iterator[Dev]:
        """Run `semilayer dev`; without its web server there is nobody to nudge."""
        port = free_port()
        log = self.folder / "dev.log"
        command = [str(_SEMILAYER), "dev", "--webhook-port", str(port)]
        command += ["--port", str(free_port())] if ui else ["--no-ui"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environ, stdout=out, stderr=subprocess.STDOUT
            )
        try:
            _await(log, process, "Ctrl-C stops everything")
            if "embedder" in log.read_text():
                _await(log, process, "is ready")
            yield Dev(self, f"http://127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


@dataclass(frozen=True)
class Dev:
    """A running `semilayer dev`; `url` is its webhook's."""

    site: Site
    url: str

    def post(self, lens: str) -> str:
        """Say that the row changed; return the id of the job."""
        changes = [{"id": self.site.key, "action": "upsert"}]
        answer = self._call(f"/v1/ingest/{lens}", {"mode": "records", "changes": changes})
        return str(answer["jobId"])

    def search(self, lens: str, text: str) -> str:
        """Return the id of the nearest row."""
        answer = self._call(f"/v1/search/{lens}", {"query": text, "limit": 1})
        return str(answer["results"][0]["id"])

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.site.service_key}"}
        response = httpx.post(self.url + path, json=body, headers=headers, timeout=60)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


def _ingest(project: Project, name: str) -> None:
    with project.registry.begin() as db:
        now, lens = project.clock(), lenses.get(db, ENV, name)
        lenses.set_status(db, lens.id, LensStatus.INDEXING, now=now)
        job = jobs.request(db, lens, Mode.FULL, job_id=uuid4().hex, origin="bench", now=now).job
    run_job(project, job.id)


def _await(log: Path, process: subprocess.Popen[bytes], said: str) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while said not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"semilayer dev did not say {said!r}: {log.read_text()[-2000:]}")
        time.sleep(0.2)
