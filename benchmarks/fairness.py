"""What a quiet lens waits for beside loud ones, and how long many small jobs take together.

Both with everything of `semilayer dev` running. Vectors are hashes and the slow model is one that
does not answer: it is the queue that is measured.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from benchmarks.catalogue import workplace
from benchmarks.freshness_site import ENV, Dev, Site
from benchmarks.result import Result, Wanted, measured
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.registry import changes, jobs, lenses
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import JobStatus, Mode

__all__ = ["Size", "measure", "run"]

_FOUND_SECONDS = 300.0
_DONE_SECONDS = 900.0
_POLL_SECONDS = 0.1
_WARM_UP_SECONDS = 30.0
_MAX_FOUND_SECONDS = 10.0
_MAX_DONE_SECONDS = 150.0
_MODES = (Mode.RECORDS, Mode.INCREMENTAL, Mode.SMART_SYNC, Mode.FULL)

_SLOW = """
import time
from pathlib import Path

def wait(values):
    while Path("slow.hold").exists():
        time.sleep(0.1)
    return values
"""


@dataclass(frozen=True)
class Size:
    """Lenses that are called once a second, lenses that are called once, shards of a slow one.

    `many` lenses get a job of each mode at once. Each lens has `rows` rows.
    """

    chatty: int = 10
    quiet: int = 5
    shards: int = 12
    many: int = 50
    rows: int = 100


def run() -> list[Result]:
    return measure(Size())


def measure(size: Size) -> list[Result]:
    """Measure both, each in a run of `semilayer dev` of its own."""
    with workplace() as folder:
        found = _beside_loud_ones(folder, size)
    with workplace() as folder:
        seconds, completed = _all_at_once(folder, size)
    return [
        Result(
            "fairness: a quiet lens's change, beside loud lenses",
            "s",
            measured(found),
            Wanted.AT_MOST,
            _MAX_FOUND_SECONDS,
        ),
        Result(
            f"fairness: {size.many} lenses with {len(_MODES)} jobs each, at once",
            "s",
            measured([seconds]),
            Wanted.AT_MOST,
            _MAX_DONE_SECONDS,
        ),
        Result(
            "fairness: of these jobs, completed",
            "",
            measured([completed]),
            Wanted.EXACTLY,
            size.many * len(_MODES),
        ),
    ]


def _beside_loud_ones(folder: Path, size: Size) -> list[float]:
    (folder / "slow.py").write_text(_SLOW)
    (folder / "slow.hold").touch()
    text = {"type": "text", "searchable": True, "transform": "slow:wait"}
    site = Site.at(
        folder,
        number=size.chatty + size.quiet,
        rows=size.rows,
        provider="hash",
        others={"slow": {"shards": size.shards, "fields": {"summary": text}}},
    )
    quiet, chatty = site.lenses[: size.quiet], site.lenses[size.quiet :]
    with site.dev(ui=True) as dev:
        lifecycle.request_rebuild(site.project, ENV, "slow")
        with _chattering(dev, chatty):
            time.sleep(_WARM_UP_SECONDS)
            found = [_seconds_to_find(dev, lens) for lens in quiet]
        (folder / "slow.hold").unlink()
    return found


@contextmanager
def _chattering(dev: Dev, chatty: Sequence[str]) -> Iterator[None]:
    """Call each of these lenses once a second, until the block ends."""
    over = threading.Event()

    def call() -> None:
        while not over.wait(1.0):
            for lens in chatty:
                dev.post(lens)

    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(call)
        try:
            yield
        finally:
            over.set()
    # A caller that was refused was not as loud as it should have been.
    calling.result()


def _seconds_to_find(dev: Dev, lens: str) -> float:
    """Change a row, say so, and return how long it took until the index shows it."""
    text = f"a change for {lens} alone"
    dev.site.edit(text)
    posted = time.monotonic()
    dev.post(lens)
    while dev.site.shows(lens) != text:
        if time.monotonic() - posted > _FOUND_SECONDS:
            break
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - posted


def _all_at_once(folder: Path, size: Size) -> tuple[float, int]:
    """Return in how many seconds every lens's jobs were over, and how many ended well."""
    site = Site.at(folder, number=size.many, rows=size.rows, provider="hash")
    with site.dev(ui=True):
        began = time.monotonic()
        asked = [job for name in site.lenses for job in _ask(site, name)]
        while time.monotonic() - began < _DONE_SECONDS:
            with site.project.registry.read() as db:
                statuses = [jobs.get(db, job).status for job in asked]
            if not {JobStatus.QUEUED, JobStatus.RUNNING} & set(statuses):
                break
            time.sleep(1.0)
        return time.monotonic() - began, statuses.count(JobStatus.COMPLETED)


def _ask(site: Site, name: str) -> list[str]:
    now = site.project.clock()
    with site.project.registry.begin() as db:
        lens = lenses.get(db, ENV, name)
        changes.append(db, lens.id, [(site.key, Action.UPSERT)], now)
        return [
            jobs.request(db, lens, mode, job_id=uuid4().hex, origin="bench", now=now).job.id
            for mode in _MODES
        ]
