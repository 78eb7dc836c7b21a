"""How a job ends in the registry; what a run makes of how it ended: `ingest.job_outcome`.

A job ends well or badly (`finish`, `fail`, `cancel`), or goes back to the queue (`try_again`,
`requeue`). Both the run itself and the sensor that finds the run dead end a job this way. Each is a
compare-and-set: a job that is another run's by now stays as it is, and so does its lens.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, literal, or_
from sqlalchemy.exc import IntegrityError

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import TERMINAL_STATUSES, JobStatus
from semilayer_pipelines.registry import generations, lenses, tables
from semilayer_pipelines.registry.jobs.job import Job
from semilayer_pipelines.registry.jobs.queries import get
from semilayer_pipelines.registry.jobs.steps import held, move
from semilayer_pipelines.registry.jobs.waits import wait_before_retry
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = [
    "MAX_ATTEMPTS",
    "cancel",
    "fail",
    "finish",
    "let_rest",
    "refuse",
    "requeue",
    "retry",
    "try_again",
    "wait",
]

MAX_ATTEMPTS = 3
"""A job that met something that did not answer fails this often before its lens says `error`."""

SUPERSEDED = "A newer job of the same kind was queued meanwhile and does its work."

_jobs = tables.jobs.c


def finish(
    db: Connection,
    job_id: str,
    *,
    lease: str | None,
    status: JobStatus,
    counts: Counts,
    error: str | None = None,
    cure: str | None = None,
    now: datetime,
) -> bool:
    """End a running job and free its slots; `False`: fenced. `lease` is `None` for a full ingest.

    Raises `ValueError` for a status that is no end.
    """
    if status not in TERMINAL_STATUSES:
        raise ValueError(f"a job cannot end {status}")
    return move(
        db,
        held(job_id, lease),
        status=status,
        counts=counts,
        error=error,
        cure=cure,
        slot=None,
        sweep_slot=None,
        ended_at=now,
    )


def retry(
    db: Connection,
    job_id: str,
    *,
    lease: str | None,
    due_at: datetime,
    error: str,
    cure: str | None = None,
    failures: int | None = None,
    now: datetime,
) -> bool:
    """Queue a running job for another attempt; `False`: fenced.

    `failures` is how many there were in a row, `None` for one more than before. Where a newer job
    of its kind waits already, that one does the work and this one is `canceled`; it waits as long
    as this one would have, and counts its failures.
    """
    attempt = (get(db, job_id).attempt if failures is None else failures) + 1
    queued = _queue_again(
        db, held(job_id, lease), now, due_at=due_at, attempt=attempt, error=error, cure=cure
    )
    if queued:
        # The next one would meet the same. Callers that never rest would otherwise have what is
        # broken asked every few seconds.
        _pass_on(
            db,
            job_id,
            due_at=case((_jobs.due_at < due_at, due_at), else_=_jobs.due_at),
            attempt=case((_jobs.attempt < attempt, attempt), else_=_jobs.attempt),
            error=error,
            cure=cure,
        )
    return queued


def _pass_on(db: Connection, job_id: str, **values: object) -> None:
    """Let the job that waits in the place of a superseded one know what was asked of that one."""
    job = get(db, job_id)
    if job.status is JobStatus.QUEUED:
        return
    move(
        db,
        and_(_jobs.slot == job.singleton, _jobs.status == JobStatus.QUEUED),
        confirmed=or_(_jobs.confirmed, literal(job.confirmed)),
        full_walk=or_(_jobs.full_walk, literal(job.full_walk)),
        **values,
    )


def try_again(
    db: Connection,
    job: Job,
    *,
    failures: int,
    hiccup: bool,
    error: str,
    cure: str,
    needs_you: bool = False,
    guarded: bool = False,
    now: datetime,
) -> bool:
    """Queue a job that failed again, and say so on its lens; `False`: it is another run's.

    It waits longer after each failure (`jobs.waits`). The lens says `error` at once, or for a
    `hiccup` after `MAX_ATTEMPTS` of them. `guarded`: the lens's guard stopped it.
    """
    due_at = now + wait_before_retry(failures, hiccup=hiccup)
    queued = retry(
        db,
        job.id,
        lease=job.lease,
        due_at=due_at,
        error=error,
        cure=cure,
        failures=failures,
        now=now,
    )
    if queued and (not hiccup or failures >= MAX_ATTEMPTS):
        lenses.set_failing(
            db,
            job.lens_id,
            error=error,
            cure=cure,
            needs_you=needs_you,
            guarded=guarded,
            now=now,
        )
    return queued


def requeue(db: Connection, job_id: str, *, lease: str | None, now: datetime) -> bool:
    """Queue a job that was paused, due as soon as its lens runs again; `False`: fenced.

    Like `retry`, without counting an attempt.
    """
    queued = _queue_again(db, held(job_id, lease), now, due_at=now)
    if queued:
        _pass_on(db, job_id)
    return queued


def wait(
    db: Connection, job_id: str, *, lease: str | None, look_at: datetime, now: datetime
) -> bool:
    """Queue a job until it looks again what others do for it; `False`: fenced.

    It is well, so its failures so far are forgotten.
    """
    well = {"attempt": 1, "error": None, "cure": None}
    return _queue_again(db, held(job_id, lease), now, due_at=look_at, **well)


def fail(db: Connection, job: Job, *, counts: Counts, error: str, cure: str, now: datetime) -> bool:
    """End a running job that only a person can mend, and stop its lens; `False`: not this run's."""
    ended = refuse(db, job, counts=counts, error=error, cure=cure, now=now)
    if ended:
        lenses.set_failing(db, job.lens_id, error=error, cure=cure, needs_you=True, now=now)
    return ended


def refuse(
    db: Connection, job: Job, *, counts: Counts, error: str, cure: str, now: datetime
) -> bool:
    """End a running job that cannot be done, which is no fault of its lens; `False`: fenced."""
    return finish(
        db,
        job.id,
        lease=job.lease,
        status=JobStatus.FAILED,
        counts=counts,
        error=error,
        cure=cure,
        now=now,
    )


def cancel(db: Connection, job: Job, *, counts: Counts, now: datetime) -> bool:
    """End a running job that a person stopped; `False`: it is another run's."""
    ended = finish(db, job.id, lease=job.lease, status=JobStatus.CANCELED, counts=counts, now=now)
    if ended:
        let_rest(db, job.lens_id, now)
    return ended


def let_rest(db: Connection, lens_id: int, now: datetime) -> None:
    """Take a lens out of `indexing`: it serves what it has, or is paused if it has nothing."""
    if lenses.by_id(db, lens_id).status is LensStatus.INDEXING:
        serving = generations.active(db, lens_id) is not None
        status = LensStatus.READY if serving else LensStatus.PAUSED
        lenses.set_status(db, lens_id, status, now=now)


def _queue_again(
    db: Connection, mine: ColumnElement[bool], now: datetime, **values: object
) -> bool:
    try:
        with db.begin_nested():
            return move(
                db,
                mine,
                status=JobStatus.QUEUED,
                slot=_jobs.singleton,
                sweep_slot=None,
                lease=None,
                run_id=None,
                nudged=False,
                **values,
            )
    except IntegrityError:
        return move(
            db,
            mine,
            status=JobStatus.CANCELED,
            sweep_slot=None,
            error=SUPERSEDED,
            cure=None,
            ended_at=now,
        )
