"""The cadences: one schedule per mode and interval that a lens may ask for.

All of them are there from the start: an interval that is changed while Dagster runs takes effect at
its next tick, without a reload. A tick makes job rows, and requests the runs of the first few. The
others are spread over part of an interval of five minutes or more, so that two hundred lenses do
not start together, and the sensor launches them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4
from zlib import crc32

import dagster as dg
from sqlalchemy import Connection

from semilayer_pipelines.config.intervals import SYNC_INTERVALS, duration_of
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import NotFound, RegistryUnavailable
from semilayer_pipelines.orchestration.followed import note_unchanged
from semilayer_pipelines.orchestration.names import JOB_NAMES
from semilayer_pipelines.orchestration.recovery import in_flight
from semilayer_pipelines.orchestration.run_requests import run_request
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.failing import failing_of, wait_told
from semilayer_pipelines.queries.state import WALKS
from semilayer_pipelines.registry import (
    failed_rows,
    generations,
    jobs,
    lenses,
    quiet,
    sources,
    walks,
)
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.jobs import RUNS_AHEAD, Job, Mode, Requested
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs

__all__ = ["CRON", "cadence_schedules", "make_due_jobs", "spread"]

CRON = {
    "1m": "* * * * *",
    "5m": "*/5 * * * *",
    "15m": "*/15 * * * *",
    "30m": "*/30 * * * *",
    "1h": "0 * * * *",
    "6h": "0 */6 * * *",
    "24h": "0 0 * * *",
}

CLOCKS_APART = timedelta(seconds=60)
"""How far the clock that dates a file may be from ours."""

NOTHING_MOVED = "nothing moved in its table since the last one"
NOTHING_WRITTEN = "nothing was written to its source since the last one"

SPREAD_SHARE = 0.5
"""Part of an interval over which its jobs are spread; the rest is for them to end in."""

SPREAD_FROM_S = SYNC_INTERVALS["5m"]
"""Shorter intervals are not spread: who asks for a minute wants rows that are a minute old."""


def cadence_schedules(targets: Iterable[dg.JobDefinition]) -> list[dg.ScheduleDefinition]:
    """Return the schedules of all intervals, each under a name that stays the same."""
    by_name = {job.name: job for job in targets}
    return [
        _schedule(mode, interval, by_name[JOB_NAMES[mode]])
        for mode in (Mode.INCREMENTAL, Mode.SMART_SYNC)
        for interval in CRON
    ]


def _schedule(mode: Mode, interval: str, target: dg.JobDefinition) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{target.name}_{interval}",
        cron_schedule=CRON[interval],
        job=target,
        description=f"Syncs the lenses whose interval is {interval}. A tick requests the runs of "
        f"the first {RUNS_AHEAD}; those, and runs that the sensor launches, do the others. The "
        "logs of a tick say which lenses were queued and which were skipped, and why.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def cadence(
        context: dg.ScheduleEvaluationContext, semilayer: dg.ResourceParam[Project]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        try:
            due = make_due_jobs(
                semilayer,
                mode,
                interval,
                places=lambda: _places(context, mode),
                unchanged=lambda lens: note_unchanged(context.instance, lens),
            )
        except RegistryUnavailable as error:
            return dg.SkipReason(str(error))
        context.log.info(due.told)
        return [run_request(job) for job in due.at_once] or dg.SkipReason(due.told)

    return cadence


def _places(context: dg.ScheduleEvaluationContext, mode: Mode) -> int:
    """Return how many runs of a mode may be requested, beside those that wait or start already."""
    coming_up = [job_id for of, job_id in in_flight(context.instance).coming_up if of == mode]
    return max(0, RUNS_AHEAD - len(coming_up))


@dataclass(frozen=True)
class Due:
    """What a tick made: the jobs that are due at once, and all that it did in words."""

    at_once: Sequence[Job]
    told: str


def make_due_jobs(
    project: Project,
    mode: Mode,
    interval: str,
    *,
    places: Callable[[], int] = lambda: 0,
    unchanged: Callable[[Lens], None] = lambda _: None,
) -> Due:
    """Make the jobs that are due at this interval; say what was made and what was not, and why.

    As many as there are `places` for are due now, and left to the caller to launch. The others are
    due later, and the sensor launches them.

    `unchanged` is told of every lens that has nothing to read, and the registry notes it.

    A lens is skipped while it is paused or has no index, and while a person has to act before it
    can work. It is skipped as well while its last job of this mode waits or runs, and when nothing
    can have changed since. What failed and may pass waits as a job of its own, longer each time.
    """
    now = project.clock()
    with project.registry.read() as db:
        due, passed = _candidates(db, project, mode, interval)
    if mode is Mode.INCREMENTAL and due:
        # Outside of the transaction: a source may take its time.
        from semilayer_pipelines.queries.unmoved import unmoved

        still = unmoved(project, due)
        passed |= {lens.id: (lens, NOTHING_MOVED) for lens in due if lens.id in still}
    silent = [one for one, why in passed.values() if why in (NOTHING_MOVED, NOTHING_WRITTEN)]
    for lens in silent:
        unchanged(lens)
    made: list[Lens] = []
    first: list[Job] = []
    left = [lens for lens in due if lens.id not in passed]
    # Dagster is asked only where there is something to launch: most ticks have nothing.
    at_once = places() if left else 0
    for lens in sorted(left, key=lambda lens: spread(lens, interval)):
        nudged = len(first) < at_once
        due_at = now if nudged else now + spread(lens, interval)
        asked = _request(project, lens, mode, now, due_at, nudged=nudged)
        why = "it was removed" if asked is None else _why_waiting(asked, now)
        if asked is None or why is not None:
            passed[lens.id] = (lens, why or "")
            continue
        made.append(lens)
        if nudged:
            first.append(asked.job)
    if silent:
        # As of the begin of the tick: what came since is for the next one.
        with project.registry.begin() as db:
            quiet.note(db, [lens.id for lens in silent], mode, now)
    return Due(first, _told(made, passed.values()))


def _told(made: Iterable[Lens], passed: Iterable[tuple[Lens, str]]) -> str:
    queued = ", ".join(_name(lens) for lens in made)
    skipped = ", ".join(f"{_name(lens)} ({why})" for lens, why in passed)
    told = f"Queued: {queued}." if queued else "Nothing queued."
    return f"{told} Skipped: {skipped}." if skipped else told


def _candidates(
    db: Connection, project: Project, mode: Mode, interval: str
) -> tuple[list[Lens], dict[int, tuple[Lens, str]]]:
    """Return the lenses to make a job for, as they are in force, and the others with the reason."""
    due, passed = list[Lens](), dict[int, tuple[Lens, str]]()
    for registered in lenses.list_all(db):
        lens = in_force(db, registered)
        if _interval(lens.config, mode) != interval:
            continue
        why = _why_not(db, project, lens, mode)
        if why is None:
            due.append(lens)
        else:
            passed[lens.id] = (lens, why)
    return due, passed


def _request(
    project: Project, lens: Lens, mode: Mode, now: datetime, due_at: datetime, *, nudged: bool
) -> Requested | None:
    """Queue the job of a lens; `None` when it was removed."""
    try:
        with project.registry.begin() as db:
            return jobs.request(
                db,
                lens,
                mode,
                job_id=uuid4().hex,
                origin="schedule",
                now=now,
                due_at=due_at,
                nudged=nudged,
            )
    except NotFound:
        return None


def _name(lens: Lens) -> str:
    return f"{lens.env}/{lens.name}"


def spread(lens: Lens, interval: str) -> timedelta:
    """Return how long after the tick a lens's job is due at most: the same for the same lens."""
    if SYNC_INTERVALS[interval] < SPREAD_FROM_S:
        return timedelta(0)
    share = crc32(f"{lens.env}/{lens.name}".encode()) / 2**32
    return timedelta(seconds=SYNC_INTERVALS[interval] * SPREAD_SHARE * share)


def _interval(config: LensConfig, mode: Mode) -> str | None:
    return config.sync_interval if mode is Mode.INCREMENTAL else config.smart_sync_interval


def _why_not(db: Connection, project: Project, lens: Lens, mode: Mode) -> str | None:
    if lens.status is LensStatus.PAUSED:
        return "paused"
    failing = failing_of(db, lens)
    if failing is not None and failing.stopped:
        return f"needs you: {lens.error}"
    if generations.active(db, lens.id) is None:
        return "no index yet"
    if any(job.mode is mode for job in jobs.running(db, lens.id)):
        return "the last one is still running"
    if _nothing_changed(db, project, lens, mode):
        return NOTHING_WRITTEN
    return None


def _why_waiting(asked: Requested, now: datetime) -> str | None:
    if not asked.deduplicated:
        return None
    if not asked.job.failing:
        return "the last one still waits"
    return f"the last one failed and is {wait_told(asked.job.due_at, now)}: {asked.job.error}"


def _nothing_changed(db: Connection, project: Project, lens: Lens, mode: Mode) -> bool:
    """Say whether a walk would find what the last one found, where the source need not be asked.

    Every walk tries the rows that were set aside, and a new mapping changes all rows.
    """
    if lens.needs is not Needs.NOTHING or failed_rows.count(db, lens.id):
        return False
    if mode is Mode.SMART_SYNC and not _stays_unwritten(db, lens, project.clock()):
        return False
    modes = WALKS if mode is Mode.INCREMENTAL else (Mode.FULL, Mode.SMART_SYNC)
    began = jobs.last_began(db, lens.id, modes)
    if began is None:
        return False
    source = sources.get(db, lens.env_id, lens.config.source)
    written = project.last_written(lens.config.source, source)
    return written is not None and written < began - CLOCKS_APART


def _stays_unwritten(db: Connection, lens: Lens, now: datetime) -> bool:
    """Say whether rows stay what they are while nobody writes, and all were read not long ago.

    A walk is noted for such rows alone: a view, or a condition that looks at the time, may show
    other rows without a write.
    """
    active = generations.active(db, lens.id)
    last = None if active is None else walks.get(db, active.id)
    if last is None or last.whole_at < lens.pushed_at:
        return False
    return abs(now - last.whole_at) < duration_of(lens.config.full_walk_every)
