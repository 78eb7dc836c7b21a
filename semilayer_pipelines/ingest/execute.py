"""Run a job: take it, do what its mode says, and leave its row telling how it ended.

The job row comes first, always; a run takes its job by compare-and-set, so a second launch of the
same job does nothing. However a run ends (done, paused, failed, cancelled, killed) the registry
says what is left to do, and running the job again does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from uuid import uuid4

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import (
    Fenced,
    Refused,
    SemilayerError,
    Terminal,
    Transient,
    redact,
)
from semilayer_pipelines.ingest.full import run_full
from semilayer_pipelines.ingest.incremental import catch_up
from semilayer_pipelines.ingest.parts import Parts, open_parts
from semilayer_pipelines.ingest.records import drain
from semilayer_pipelines.ingest.run import Heartbeat, PageDone, Run
from semilayer_pipelines.ingest.sweep import Guard, sweep
from semilayer_pipelines.ingest.target import GenerationSwitched, Target
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, failed_rows, generations, jobs, lenses, shards
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs

__all__ = ["MAX_ATTEMPTS", "Ended", "Outcome", "run_job"]

MAX_ATTEMPTS = 3
"""A job that failed for a passing reason is tried this often before its lens says `error`."""

RETRY_WAITS = (timedelta(seconds=10), timedelta(seconds=60))

MAX_SWITCHES = 5


class Ended(StrEnum):
    """How a run ended, as far as this run knows."""

    COMPLETED = "completed"
    SHARE_DONE = "share done"  # of a full ingest; other shards are still being filled
    PAUSED = "paused"
    TAKEN = "taken"  # somebody else has this job, or it is over


@dataclass(frozen=True)
class Outcome:
    """What a run did in how many seconds. `generation` is the one it published or wrote to."""

    ended: Ended
    job_id: str
    counts: Counts
    generation: Generation | None
    published: bool = False
    index_rows: int | None = None
    seconds: float = 0.0


def run_job(
    project: Project,
    job_id: str,
    *,
    run_id: str | None = None,
    shard: int | None = None,
    report: Callable[[PageDone], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Run a queued job to its end, or to the lens being paused.

    `shard` limits a full ingest to one shard. `report` is called after every page. `cancelled` is
    asked when the run is interrupted: did a person stop this job, or is the machine shutting down?

    Raises the error that ended the run, after the job and the lens say so; a passing one leaves
    the job queued for another attempt. An interrupt leaves the job `canceled` or, when nobody
    cancelled it, queued to go on.
    """
    job = _take(project, job_id, run_id)
    if job is None:
        return Outcome(Ended.TAKEN, job_id, Counts(), None)
    with project.registry.read() as db:
        lens = lenses.by_id(db, job.lens_id)
        failed = failed_rows.count(db, job.lens_id)
    run = Run(
        registry=project.registry,
        clock=project.clock,
        lens_id=job.lens_id,
        job_id=job.id,
        run_id=run_id,
        lease=job.lease or uuid4().hex,
        report=report,
        confirmed=job.confirmed,
        had_failed_rows=failed > 0,
    )
    try:
        with (
            Heartbeat(run, lambda: _beat(project, run, job)),
            open_parts(project, _as_indexed(project, lens, job.mode)) as parts,
        ):
            outcome = _dispatch(parts, run, job, shard)
            _ended(parts, run, job, outcome)
    except Fenced:
        raise
    except Exception as error:  # noqa: BLE001 - recorded on the job, then raised
        known = error if isinstance(error, SemilayerError) else _unexpected(error)
        known.lens = known.lens or lens.name
        _failed(project, run, job, known)
        raise known from (None if known is error else error)
    except BaseException:
        # Dagster's cancel and Ctrl-C are no Exceptions: the run stops at once, its job says so.
        if cancelled():
            _cancelled(project, run, job)
        else:
            _interrupted(project, run, job)
        raise
    return outcome


def _take(project: Project, job_id: str, run_id: str | None) -> Job | None:
    now = project.clock()
    with project.registry.begin() as db:
        if jobs.get(db, job_id).mode is not Mode.FULL:
            return jobs.take(db, job_id, lease=uuid4().hex, run_id=run_id, now=now)
        job = jobs.join(db, job_id, run_id=run_id, now=now)
        # A lens paused between launch and start stays paused: the run ends before its first page.
        if job and lenses.by_id(db, job.lens_id).status is not LensStatus.PAUSED:
            lenses.set_status(db, job.lens_id, LensStatus.INDEXING, now=now)
        return job


def _as_indexed(project: Project, lens: Lens, mode: Mode) -> Lens:
    """Return the lens with the configuration that the run has to work by.

    Until a rebuild that a push made necessary, the old index goes on being kept in step by the
    configuration it was built with, so that it never holds two (invariant 9).
    """
    if mode is Mode.FULL or lens.needs is not Needs.REBUILD:
        return lens
    with project.registry.read() as db:
        active = generations.active(db, lens.id)
    return replace(lens, config=active.config) if active else lens


def _dispatch(parts: Parts, run: Run, job: Job, shard: int | None) -> Outcome:
    if job.mode is Mode.FULL:
        published = run_full(parts, run, shard=shard)
        ended = Ended.COMPLETED if published else Ended.PAUSED if run.paused() else Ended.SHARE_DONE
        return _outcome(parts, run, ended, published)
    for _ in range(MAX_SWITCHES):
        generation = _active(parts)
        if generation is None and job.mode is Mode.RECORDS:
            # The buffer keeps the changes until there is an index; publishing asks for this again.
            return _outcome(parts, run, Ended.COMPLETED, None)
        if generation is None:
            raise Refused(
                "There is no index yet.",
                cure=f"Start the first ingest: `semilayer resume --lens {parts.lens.name}`.",
                lens=parts.lens.name,
            )
        try:
            complete = _choose_rows(parts, run, job, Target(parts, generation))
        except GenerationSwitched:
            continue
        return _outcome(parts, run, Ended.COMPLETED if complete else Ended.PAUSED, generation)
    raise Refused("The index was switched again and again during this run.", lens=parts.lens.name)


def _choose_rows(parts: Parts, run: Run, job: Job, target: Target) -> bool:
    match job.mode:
        case Mode.RECORDS:
            with parts.registry.begin() as db:
                changes.release(db, job.id)
            return drain(parts, run, target)
        case Mode.INCREMENTAL:
            return catch_up(parts, run, target)
        case Mode.SMART_SYNC | Mode.REPAIR:
            guard = None if job.confirmed else Guard(parts.lens.config.guard)
            return sweep(parts, run, target, shard=job.shard, guard=guard)
        case Mode.FULL:
            raise AssertionError("a full ingest chooses its generation itself")


def _active(parts: Parts) -> Generation | None:
    with parts.registry.read() as db:
        return generations.active(db, parts.lens.id)


def _outcome(parts: Parts, run: Run, ended: Ended, generation: Generation | None) -> Outcome:
    index = Target(parts, generation).index if generation else None
    if index is not None and ended is Ended.COMPLETED:
        index.maintain()
    rows = index.count() if index else None
    return Outcome(
        ended,
        run.job_id,
        run.counts,
        generation,
        published=generation is not None and generation.job_id == run.job_id,
        index_rows=rows,
        seconds=time.monotonic() - run.started,
    )


def _beat(project: Project, run: Run, job: Job) -> bool:
    now = project.clock()
    with project.registry.begin() as db:
        if job.lease is None:
            jobs.beat(db, job.id, now)
            return True
        return jobs.heartbeat(db, job.id, lease=job.lease, counts=run.counts, now=now)


def _ended(parts: Parts, run: Run, job: Job, outcome: Outcome) -> None:
    now = parts.clock()
    with parts.registry.begin() as db:
        match outcome.ended:
            case Ended.COMPLETED:
                counts = _all_shards(db, outcome) if job.mode is Mode.FULL else run.counts
                if not jobs.finish(
                    db, job.id, lease=job.lease, status=JobStatus.COMPLETED, counts=counts, now=now
                ):
                    if job.lease is None and jobs.get(db, job.id).status is JobStatus.COMPLETED:
                        return  # the runs of the last two shards ended at the same moment
                    raise Fenced("Another run has taken over this job.", lens=parts.lens.name)
                _in_line(db, parts, job, outcome)
            case Ended.PAUSED:
                jobs.requeue(db, job.id, lease=job.lease, now=now)
            case Ended.SHARE_DONE | Ended.TAKEN:
                pass


def _all_shards(db: Connection, outcome: Outcome) -> Counts:
    if outcome.generation is None:
        return outcome.counts
    return sum((shard.counts for shard in shards.list_all(db, outcome.generation.id)), Counts())


def _in_line(db: Connection, parts: Parts, job: Job, outcome: Outcome) -> None:
    """Note what a completed job says about its lens."""
    now = parts.clock()
    lens = lenses.by_id(db, parts.lens.id)
    if job.mode is Mode.SMART_SYNC and outcome.generation and lens.needs is Needs.SMART_SYNC:
        generations.adopt(
            db,
            outcome.generation.id,
            mapping_fingerprint=parts.mapping.fingerprint,
            config=parts.lens.config,
        )
        lenses.set_needs(db, lens.id, Needs.NOTHING, now)
    if lens.status is not LensStatus.PAUSED:
        lenses.set_status(db, lens.id, LensStatus.READY, now=now)
    if job.mode is Mode.FULL and changes.buffered(db, lens.id):
        jobs.request(db, lens, Mode.RECORDS, job_id=uuid4().hex, origin="publish", now=now)


def _failed(project: Project, run: Run, job: Job, error: SemilayerError) -> None:
    now = project.clock()
    message, cure = redact(error.message), redact(error.cure)
    with project.registry.begin() as db:
        changes.release(db, job.id)
        if isinstance(error, Transient) and job.attempt < MAX_ATTEMPTS:
            wait = RETRY_WAITS[min(job.attempt, len(RETRY_WAITS)) - 1]
            jobs.retry(db, job.id, lease=job.lease, due_at=now + wait, error=message, now=now)
            return
        jobs.finish(
            db,
            job.id,
            lease=job.lease,
            status=JobStatus.FAILED,
            counts=run.counts,
            error=message,
            cure=cure,
            now=now,
        )
        lenses.set_status(db, job.lens_id, LensStatus.ERROR, error=message, cure=cure, now=now)


def _cancelled(project: Project, run: Run, job: Job) -> None:
    now = project.clock()
    with project.registry.begin() as db:
        changes.release(db, job.id)
        jobs.finish(
            db, job.id, lease=job.lease, status=JobStatus.CANCELED, counts=run.counts, now=now
        )
        if lenses.by_id(db, job.lens_id).status is LensStatus.INDEXING:
            serving = generations.active(db, job.lens_id) is not None
            status = LensStatus.READY if serving else LensStatus.PAUSED
            lenses.set_status(db, job.lens_id, status, now=now)


def _interrupted(project: Project, run: Run, job: Job) -> None:
    now = project.clock()
    with project.registry.begin() as db:
        changes.release(db, job.id)
        jobs.requeue(db, job.id, lease=job.lease, now=now)


def _unexpected(error: Exception) -> SemilayerError:
    return Terminal(
        f"{type(error).__name__}: {redact(str(error))}",
        cure="This is a fault in semilayer-pipelines; the run's log has the whole story.",
    )
