"""What a run does after its own job: the small jobs that are due, of any lens.

So a run's start-up is paid once for many jobs, and a busy lens keeps none of the others waiting. A
records run also lingers: it looks for a job every 0.2 s until 20 s have passed without one. No run
stays longer than half an hour, so that it never outlives the code it was started with by much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from semilayer_pipelines.ingest.job_outcome import stopped_by_a_person
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Job, Mode

__all__ = ["IDLE_SECONDS", "POLL_SECONDS", "further_jobs"]

IDLE_SECONDS = 20.0
"""A records run lingers this long for the next job."""

POLL_SECONDS = 0.2
"""A lingering run looks this often for a job."""

PLACE_CHECK_SECONDS = 1.0
"""A lingering run looks this often whether another run waits for its place."""

MAX_STAY_SECONDS = 1_800.0
"""The longest stay of a run after its own job, however much there is to do."""


def further_jobs(
    project: Project,
    mode: Mode,
    *,
    lingers: bool,
    place_is_wanted: Callable[[], bool] = lambda: False,
    was_cancelled: Callable[[], bool] | None = None,
) -> Iterator[Job]:
    """Yield the small jobs that a run of `mode` is to do next, each when the one before is over.

    Another run may be faster to take a job. It ends when nothing is due; a run that `lingers` waits
    up to `IDLE_SECONDS` for more, but not while its place is wanted. `was_cancelled` is as in
    `run_job`: an interrupt that finds the run idle ends its stay, and is raised only when a person
    cancelled it.
    """
    latest = time.monotonic() + MAX_STAY_SECONDS
    while time.monotonic() < latest:
        try:
            following = _next(project, mode)
            if following is None and lingers:
                following = _await_next(project, mode, place_is_wanted)
        except Exception:
            raise
        except BaseException as interrupt:
            # The machine is shutting down. What the run was for is done: that is no failure.
            if stopped_by_a_person(interrupt, was_cancelled):
                raise
            return
        if following is None:
            return
        yield following


def _next(project: Project, mode: Mode) -> Job | None:
    with project.registry.read() as db:
        return jobs.next_small(db, mode, project.clock())


def _await_next(project: Project, mode: Mode, place_is_wanted: Callable[[], bool]) -> Job | None:
    deadline = time.monotonic() + IDLE_SECONDS
    look_again = time.monotonic()
    while time.monotonic() < deadline:
        following = _next(project, mode)
        if following is not None:
            return following
        if time.monotonic() >= look_again:
            if place_is_wanted():
                return None
            look_again = time.monotonic() + PLACE_CHECK_SECONDS
        time.sleep(POLL_SECONDS)
    return None
