"""A records run that stays a while: a busy lens pays a run's start-up once.

After its job is done the run looks for the lens's next records job every 0.2 s and does it as soon
as its debounce is over. It ends after 20 s without one, or when it has stayed for half an hour, so
that a run never outlives the code it was started with by much.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.job_outcome import stopped_by_a_person
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import Outcome, RunEnd, run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Mode

__all__ = ["IDLE_SECONDS", "POLL_SECONDS", "LoopOutcome", "run_records_loop"]

IDLE_SECONDS = 20.0
POLL_SECONDS = 0.2
MAX_STAY_SECONDS = 1_800.0


@dataclass(frozen=True)
class LoopOutcome:
    """What a lingering run did: its last job's outcome, all counts, how many jobs."""

    last: Outcome
    counts: Counts
    jobs: int


def run_records_loop(
    project: Project,
    job_id: str,
    *,
    run_id: str | None = None,
    report: Callable[[PageDone], None] = lambda _: None,
    was_cancelled: Callable[[], bool] | None = None,
    idle_seconds: float | None = None,
) -> LoopOutcome:
    """Run a records job and then every one that follows until the lens is idle.

    It is idle after `idle_seconds` without a job, `IDLE_SECONDS` by default. `was_cancelled` is as
    in `run_job`.

    Stops at once when the lens is paused or the job was somebody else's. Raises what `run_job`
    raises; the jobs done before stay done. An interrupt that finds it idle ends its stay, and is
    raised only when a person cancelled it.
    """
    lens_id = _lens_of(project, job_id)
    started = time.monotonic()
    total, done = Counts(), 0
    while True:
        outcome = run_job(
            project, job_id, run_id=run_id, report=report, was_cancelled=was_cancelled
        )
        total, done = total + outcome.counts, done + 1
        if outcome.ended is not RunEnd.COMPLETED:
            return LoopOutcome(outcome, total, done)
        try:
            following = _await_next(project, lens_id, idle_seconds or IDLE_SECONDS)
        except Exception:
            raise
        except BaseException as interrupt:
            # The machine is shutting down. What the run was for is done: that is no failure.
            if stopped_by_a_person(interrupt, was_cancelled):
                raise
            return LoopOutcome(outcome, total, done)
        if following is None or time.monotonic() - started > MAX_STAY_SECONDS:
            return LoopOutcome(outcome, total, done)
        job_id = following


def _lens_of(project: Project, job_id: str) -> int:
    with project.registry.read() as db:
        return jobs.get(db, job_id).lens_id


def _await_next(project: Project, lens_id: int, idle_seconds: float) -> str | None:
    """Return the next records job of the lens once it is due, or `None` when none comes."""
    deadline = time.monotonic() + idle_seconds
    while time.monotonic() < deadline:
        with project.registry.read() as db:
            due = jobs.due_of(db, lens_id, Mode.RECORDS, project.clock())
        if due is not None:
            return due.id
        time.sleep(POLL_SECONDS)
    return None
