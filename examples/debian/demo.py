"""The main job from end to end: push, full ingest, search, sync, webhook, pause, resume, drift.

Every step runs what a person would type, against the project's own Dagster instance, and is
checked; a step that does not hold ends the demo with exit code 1. The demo is a project of its own,
in this folder, so that nothing of it is in the way of another.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import httpx
import source

from semilayer_pipelines.cli.context import console
from semilayer_pipelines.client import IngestClient
from semilayer_pipelines.control.push import apply_push, plan_removal
from semilayer_pipelines.dev.dagster import start_dagster, webhook_process
from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.errors import NotFound, SemilayerError
from semilayer_pipelines.private_files import private_folder
from semilayer_pipelines.project import Project

LENS = "packages"
SEMILAYER = Path(sys.executable).with_name("semilayer")
STEP_SECONDS = 600
EMBEDDING_SECONDS = 60
"""A first ingest that would take longer gets fewer rows."""
DRIFT = 3
"""Exit code of a push that a person has to decide about."""


class NotHeld(Exception):
    """A step of the demo did not hold."""


def main() -> int:
    """Run the demo; return the exit code."""
    # A terminated demo must not leave Dagster behind: end through `finally` like everything else.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(HERE)
    for name in ("SEMILAYER_CONFIG", "SEMILAYER_ROOT", "SEMILAYER_HOME", "SEMILAYER_REGISTRY_URL"):
        os.environ.pop(name, None)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, HERE / name)
    os.environ.setdefault("SEMILAYER_ENV", "development")
    project = Project.here()
    database = project.settings.home / "demo" / "packages.db"
    os.environ["DEMO_DATABASE_URL"] = f"sqlite:///{database}"
    private_folder(project.settings.home)
    started = time.monotonic()
    supervisor = None
    try:
        step(1, "A source: packages of Debian's catalogue in SQLite")
        rows = source.create(database, _rows_for_this_machine())
        note(f"{rows:,} rows in {database.relative_to(ROOT)}")
        if _start_over(project):
            note("the lens of an earlier demo was removed")

        step(
            2, "Dagster comes up: code server and daemon, this project's own instance; the webhook"
        )
        port = free_port()
        supervisor = start_dagster(
            project, ui_port=None, say=_log(project), beside=[webhook_process(port)]
        )
        note(f"its log: {(project.settings.home / 'demo' / 'dagster.log').relative_to(ROOT)}")

        step(3, "Register the lens. Nothing is ingested yet")
        semilayer("push", "--lens", LENS)
        hold(status(project)["status"] == "paused", "a new lens is paused")

        step(4, "The first ingest: a Dagster run reads, embeds and writes every row")
        semilayer("resume", "--lens", LENS, "--wait")
        indexed = status(project)
        hold(indexed["rows"] == rows, f"{rows:,} rows are in the index")
        hold(indexed["vectors"] > rows, "rows with long texts have a vector for each chunk")
        _held_by_dagster(project)

        step(5, "Search by meaning")
        for question, wanted in source.QUESTIONS.items():
            found = search(question)
            hold(bool(wanted & set(found)), f"one of {', '.join(sorted(wanted))} is among them")

        step(6, "The source moves on: 1 text and 2 sections changed, 2 rows deleted, 1 added")
        source.change(database)

        step(7, "A smart sync finds out, embeds what has a new text and deletes what is gone")
        semilayer("sync", "--lens", LENS, "--wait")
        counts = last_job()["counts"]
        hold(counts["embedded"] == 2, "2 texts were embedded: the changed one and the new one")
        hold(counts["written"] == 4, "2 rows kept their vectors: only their section changed")
        hold(counts["deleted"] == 2, "2 rows were deleted")
        hold(counts["unchanged"] == rows - 5, f"{rows - 5:,} rows were left alone")

        step(8, "Search again")
        hold("gnuplot" in search("orbits of comets"), "the changed text is found")
        hold(source.ADDED[0] in search("keeping bees and harvesting honey"), "so is the new row")
        hold(
            not set(source.DELETED)
            & set(search("a map of the stars and planets in the night sky")),
            "what was deleted is not",
        )

        step(9, "Two more syncs: nobody wrote to the table, and that is proven")
        semilayer("sync", "--lens", LENS, "--wait")
        semilayer("sync", "--lens", LENS, "--wait")
        counts = last_job()["counts"]
        hold(counts["read"] == 0, "not one row was read")
        hold(counts["proven"] == rows - 1, f"{rows - 1:,} rows were proven unchanged")

        step(10, "A program tells the webhook of a change; seconds later it is searchable")
        key = _json("keys", "create", "--name", "demo", "--type", "service")["key"]
        with IngestClient(f"http://127.0.0.1:{port}", key, LENS) as client:
            source.describe(database, "htop", "Counts sheep until the computer falls asleep.")
            tell(client, "htop", wait=30)
            hold("htop" in search("counting sheep to fall asleep"), "the new text is found")

            step(11, "Paused, the lens takes changes and keeps them; resumed, it applies them")
            semilayer("pause", "--lens", LENS)
            source.describe(database, "htop", "Paints portraits of famous penguins.")
            tell(client, "htop")
            hold(status(project)["buffered"] == 1, "the change is in the buffer")
            semilayer("resume", "--lens", LENS, "--wait")
            hold(status(project)["buffered"] == 0, "the buffer is empty")
            hold("htop" in search("penguin portraits"), "the new text is found")

        step(12, "Somebody changes the lens through the API; a push does not undo it unasked")
        change = httpx.patch(
            f"http://127.0.0.1:{port}/v1/lenses/{LENS}",
            json={"guard": 0.5},
            headers={"authorization": f"Bearer {key}"},
        )
        hold(change.status_code == 200, "the lens has another guard")
        semilayer("push", "--lens", LENS, code=DRIFT)
        hold(True, "the push stopped with what was changed, and nobody there to ask")
        semilayer("export", "config", "--dry-run")
        semilayer("push", "--lens", LENS, "--force")
        hold(not _json("push", "--lens", LENS, "--dry-run")["drift"], "the file has won")
    except (NotHeld, SemilayerError, subprocess.SubprocessError) as error:
        console().print(f"\nThe demo stopped: {error}", style="red", markup=False)
        console().print(f"Dagster's log: {project.settings.home / 'demo' / 'dagster.log'}")
        return 1
    finally:
        if supervisor:
            supervisor.stop()
    console().print(f"\nAll of it held, in {time.monotonic() - started:.0f} s.", style="bold green")
    console().print(
        "\nNext:\n"
        "  make dev                                    Dagster's UI at http://127.0.0.1:3000\n"
        f"  cd {HERE.relative_to(ROOT)}                          the demo's project\n"
        f'  {SEMILAYER} search {LENS} "draw diagrams"   ask it something else\n'
        f"  {SEMILAYER} init                   in a folder of your own: a project of your own\n",
        markup=False,
    )
    return 0


def step(number: int, title: str) -> None:
    """Announce a step."""
    console().print(f"\n[bold cyan]{number}[/] [bold]{title}[/]")


def note(text: str) -> None:
    """Say something about a step."""
    console().print(f"  {text}", style="dim", markup=False)


def hold(held: bool, what: str) -> None:
    """Check a promise and say so."""
    console().print(f"  {'✓' if held else '✗'} {what}", style="green" if held else "red")
    if not held:
        raise NotHeld(f"{what}: this did not hold")


def semilayer(*arguments: str, code: int = 0) -> None:
    """Run the command as a person would, to this exit code."""
    console().print(f"  $ semilayer {' '.join(arguments)}", style="bold", markup=False)
    done = subprocess.run(
        [SEMILAYER, *arguments], check=False, stdin=subprocess.DEVNULL, timeout=STEP_SECONDS
    )
    if done.returncode != code:
        raise NotHeld(f"semilayer {arguments[0]} ended with exit code {done.returncode}")


def search(question: str) -> list[str]:
    """Ask the index, show the answers, return their keys."""
    console().print(f'  $ semilayer search {LENS} "{question}"', style="bold", markup=False)
    hits = _json("search", LENS, question, "--limit", "5")
    for hit in hits:
        console().print(f"    {hit['score']:.3f}  {hit['id']:<24} {hit['fields']['summary']}")
    return [hit["id"] for hit in hits]


def tell(client: IngestClient, id: str, *, wait: float = 0.0) -> None:
    """Tell the webhook that a row changed, and wait for the job that brings it to the index."""
    client.upsert(id)
    (receipt,) = client.flush()
    note(f"the webhook accepted it: job {(receipt.job_id or '')[:8]}, {receipt.status.value}")
    if wait and receipt.job_id:
        job = client.job(receipt.job_id, wait)
        hold(job.status == "completed", f"the job wrote {job.counts.written} row")


def _rows_for_this_machine() -> int:
    """Measure how fast this machine embeds, and say so where that leaves out rows."""
    pace = [sys.executable, str(HERE / "pace.py")]
    done = subprocess.run(pace, check=True, stdout=subprocess.PIPE, timeout=STEP_SECONDS)
    speed = float(done.stdout)
    rows = source.rows_in(EMBEDDING_SECONDS, speed)
    note(f"this machine embeds some {speed:,.0f} rows/s")
    if rows < source.ROWS:
        note(f"so the demo takes {rows:,} of its {source.ROWS:,} rows, to end within minutes")
    return rows


def status(project: Project) -> dict[str, Any]:
    """Return the lens as `semilayer status` shows it."""
    lens: dict[str, Any] = _json("status", "--lens", LENS)["lenses"][0]
    return lens


def last_job() -> dict[str, Any]:
    """Return the latest job as `semilayer jobs` shows it."""
    job: dict[str, Any] = _json("jobs", "--limit", "1")[0]
    return job


def _json(*arguments: str) -> Any:
    done = subprocess.run([SEMILAYER, *arguments, "--json"], check=True, capture_output=True)
    return json.loads(done.stdout)


def _start_over(project: Project) -> bool:
    try:
        apply_push(project, plan_removal(project, os.environ["SEMILAYER_ENV"], LENS))
    except NotFound:
        return False
    return True


def _held_by_dagster(project: Project) -> None:
    """Look the run up in Dagster's own storage."""
    import dagster as dg

    run_id = last_job()["runId"]
    os.environ["DAGSTER_HOME"] = str(HERE)
    with dg.DagsterInstance.get() as instance:
        for _ in range(50):
            run = instance.get_run_by_id(run_id)
            if run and run.is_finished:
                break
            time.sleep(0.2)
        hold(bool(run and run.is_success), f"Dagster has it as run {run_id[:8]}, a success")


def _log(project: Project) -> Callable[[str, str], None]:
    path = project.settings.home / "demo" / "dagster.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("w", buffering=1)
    return lambda name, line: print(f"{name:>11} {line}", file=log)


if __name__ == "__main__":
    sys.exit(main())
