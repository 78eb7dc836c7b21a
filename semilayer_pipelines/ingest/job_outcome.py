"""How a run ended, and what that means for its job and its lens (see `registry.jobs.endings`).

Each ending is one registry transaction. A run whose job is another run's by now changes nothing:
what it has to say is no longer true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import uuid4

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import Fenced, FieldsChanged, GuardStopped, SemilayerError
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.outlook import MOMENT, Outlook, outlook_of
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import changes, generations, jobs, lenses, shards
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import KEEPS_ITS_PLACE, Job, JobStatus, Mode, endings
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs

__all__ = [
    "Outcome",
    "RunEnd",
    "record_cancel",
    "record_end",
    "record_failure",
    "record_interrupt",
    "stopped_by_a_person",
]


class RunEnd(StrEnum):
    """How a run ended, as far as this run knows."""

    COMPLETED = "completed"
    SHARE_DONE = "share done"  # of a full ingest; other shards are still being filled
    PAUSED = "paused"
    WAITING = "waiting for batches"  # of texts that a provider embeds in its own time
    TAKEN = "taken"  # somebody else has this job, or it is over


@dataclass(frozen=True)
class Outcome:
    """What a run did in how many seconds. `generation` is the one it published or wrote to.

    `overdue` is what kept the index from its upkeep after all rows were written. A run that is
    WAITING goes on at `look_at`.
    """

    ended: RunEnd
    job_id: str
    counts: Counts
    generation: Generation | None
    published: bool = False
    index_rows: int | None = None
    seconds: float = 0.0
    overdue: SemilayerError | None = None
    look_at: datetime | None = None


def record_end(opened: OpenLens, run: Run, job: Job, outcome: Outcome) -> None:
    """Note how a run ended: its job, its lens, and what is to be done next."""
    now = opened.clock()

    def end(db: Connection) -> None:
        # It may have left some: it was paused in a page, or the index that it wrote to is gone.
        _gave_back(db, job)
        match outcome.ended:
            case RunEnd.COMPLETED:
                if job.mode is Mode.FULL:
                    # It may be queued again: the run of a shard met something that passed.
                    jobs.join(db, job.id, run_id=run.run_id, now=now)
                counts = _all_shards(db, outcome) if job.mode is Mode.FULL else run.progress.counts
                overdue = outcome.overdue
                if not jobs.finish(
                    db,
                    job.id,
                    lease=job.lease,
                    status=JobStatus.COMPLETED,
                    counts=counts,
                    error=redact(overdue.message) if overdue else None,
                    cure=redact(overdue.cure) if overdue else None,
                    now=now,
                ):
                    if job.lease is None and jobs.get(db, job.id).status is JobStatus.COMPLETED:
                        return  # the runs of the last two shards ended at the same moment
                    raise Fenced("Another run has taken over this job.", lens=opened.lens.name)
                _in_line(db, opened, job, outcome)
            case RunEnd.PAUSED:
                jobs.requeue(db, job.id, lease=job.lease, now=now)
            case RunEnd.WAITING:
                jobs.wait(db, job.id, lease=job.lease, look_at=outcome.look_at or now, now=now)
            case RunEnd.SHARE_DONE | RunEnd.TAKEN:
                pass

    opened.registry.transact(end)


def _gave_back(db: Connection, job: Job) -> bool:
    """Give back the changes that a run claimed and did not apply, however it ended.

    Whoever does the job next may be another job. Returns `False` when it is another run's by now,
    or has ended: what is claimed is then not this run's to give.
    """
    if not jobs.holds(db, job.id, job.lease):
        return False
    changes.release(db, job.id)
    return True


def _all_shards(db: Connection, outcome: Outcome) -> Counts:
    if outcome.generation is None:
        return outcome.counts
    return sum((shard.counts for shard in shards.list_all(db, outcome.generation.id)), Counts())


def _in_line(db: Connection, opened: OpenLens, job: Job, outcome: Outcome) -> None:
    """Note what a completed job says about its lens; nothing, when it was pushed anew meanwhile."""
    now = opened.clock()
    lens = lenses.by_id(db, opened.lens.id)
    unchanged = lens.config_hash == opened.lens.config_hash
    brought_in = lens.needs is Needs.SMART_SYNC and unchanged
    active = generations.active(db, lens.id)
    # One that was rolled back to while this run was ending has a sync of its own coming.
    same = active is not None and outcome.generation and active.id == outcome.generation.id
    if job.mode is Mode.SMART_SYNC and outcome.generation and same and brought_in:
        generations.adopt(
            db,
            outcome.generation.id,
            mapping_fingerprint=opened.mapping.fingerprint,
            config=opened.as_built,
        )
        lenses.set_needs(db, lens.id, Needs.NOTHING, now)
    synced = job.mode is Mode.SMART_SYNC and same and unchanged
    if synced and outcome.generation and opened.knows_cuts:
        generations.note_splitter(db, outcome.generation.id, opened.split_by)
    if job.mode is Mode.SMART_SYNC:
        # It did what they failed to do; the lens says `error` until they have seen that themselves.
        for other in (each for each in jobs.queued(db, lens.id) if each.failing):
            jobs.hasten(db, other.id, now)
    if _is_ready(db, lens, job):
        lenses.set_status(db, lens.id, LensStatus.READY, now=now)
    due_at = _records_due(db, lens, job, outcome, now)
    if due_at is not None:
        new = uuid4().hex
        jobs.request(db, lens, Mode.RECORDS, job_id=new, origin="publish", now=now, due_at=due_at)


def _records_due(
    db: Connection, lens: Lens, job: Job, outcome: Outcome, now: datetime
) -> datetime | None:
    """Return when a records job is due for changes that no other is left for; `None` for none.

    They waited for the first index, came while a job had done its share, or somebody cancelled the
    job that had them (invariant 7). A job that is queued already stays as it is.
    """
    waiting = changes.buffered(db, lens.id)
    if not waiting:
        return None
    if waiting == changes.looked_at(db, lens.id):
        look = changes.next_look(db, lens.id)
        return None if look is None else max(now, look)
    if job.mode is Mode.RECORDS and outcome.generation is None:
        return None  # Publishing the first index asks for one.
    at_work = any(other.mode is Mode.RECORDS for other in jobs.running(db, lens.id))
    return now if job.mode is Mode.FULL or not at_work else None


def _is_ready(db: Connection, lens: Lens, job: Job) -> bool:
    """Say whether a lens is ready because this job completed.

    Not while it is paused or being rebuilt; and an error stays until what failed was done: that a
    few named rows went through does not mend a sync that stopped.
    """
    match lens.status, job.mode:
        case LensStatus.PAUSED, _:
            return False
        case _, Mode.FULL:
            return True
        case LensStatus.INDEXING, _:
            return generations.building(db, lens.id) is None
        case LensStatus.ERROR, _ if any(other.failing for other in jobs.queued(db, lens.id)):
            return False
        case LensStatus.ERROR, Mode.SMART_SYNC:
            return generations.building(db, lens.id) is None
        case LensStatus.ERROR, _:
            others = jobs.recent(db, lens_id=lens.id)
            broken = [other.mode for other in others if other.status is JobStatus.FAILED]
            return broken[:1] in ([], [job.mode])
        case _:
            return True


def record_failure(project: Project, run: Run, job: Job, error: SemilayerError) -> None:
    """Queue a job that failed again, or end it where only a person can mend what is wrong."""
    now, outlook = project.clock(), outlook_of(error)
    message, cure, counts = redact(error.message), redact(error.cure), run.progress.counts

    def fail(db: Connection) -> None:
        if not _gave_back(db, job):
            return
        if isinstance(error, FieldsChanged):
            lenses.set_needs(db, job.lens_id, Needs.REBUILD, now)
        match outlook:
            case Outlook.REFUSED:
                endings.refuse(db, job, counts=counts, error=message, cure=cure, now=now)
                endings.let_rest(db, job.lens_id, now)
            case Outlook.STOPPED:
                endings.fail(db, job, counts=counts, error=message, cure=cure, now=now)
            case Outlook.HICCUP | Outlook.MAY_PASS | Outlook.PERSON:
                since = lenses.by_id(db, job.lens_id).failing_since
                lasting = since is not None and now - since > MOMENT
                endings.try_again(
                    db,
                    job,
                    failures=1 if _got_on(run, job) else job.attempt,
                    hiccup=outlook is Outlook.HICCUP,
                    error=message,
                    cure=cure,
                    needs_you=outlook is Outlook.PERSON
                    or (outlook is Outlook.MAY_PASS and lasting),
                    guarded=isinstance(error, GuardStopped),
                    now=now,
                )

    project.registry.transact(fail)


def _got_on(run: Run, job: Job) -> bool:
    """Say whether a run did a part that is never done again: what stopped it is another failure.

    A rebuild of three days may lose its source every night; that is no reason to wait for hours.
    """
    counts = run.progress.counts
    return job.mode in KEEPS_ITS_PLACE and counts.written + counts.deleted > 0


def stopped_by_a_person(interrupt: BaseException, was_cancelled: Callable[[], bool] | None) -> bool:
    """Say whether a person interrupted a run, rather than its machine shutting down.

    `was_cancelled` knows it where there is one; without it, only Ctrl-C is a person's doing.
    """
    return isinstance(interrupt, KeyboardInterrupt) if was_cancelled is None else was_cancelled()


def record_cancel(project: Project, run: Run, job: Job) -> None:
    """End a job that a person stopped; its lens goes on serving what it has."""
    now = project.clock()

    def cancel(db: Connection) -> None:
        if not _gave_back(db, job):
            return
        endings.cancel(db, job, counts=run.progress.counts, now=now)

    project.registry.transact(cancel)


def record_interrupt(project: Project, run: Run, job: Job) -> None:
    """Queue a job again whose machine is shutting down."""
    now = project.clock()

    def interrupt(db: Connection) -> None:
        if not _gave_back(db, job):
            return
        jobs.requeue(db, job.id, lease=job.lease, now=now)

    project.registry.transact(interrupt)
