"""Run a job: take it, do what its mode says, and leave its row telling how it ended.

The job row comes first, always; a run takes its job by compare-and-set, so a second launch of the
same job does nothing. However a run ends (done, paused, failed, cancelled, killed) the registry
says what is left to do, and running the job again does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.embedders.rate import keep_rate
from semilayer_pipelines.errors import (
    Fenced,
    FieldsChanged,
    IndexDropped,
    NotFound,
    Refused,
    RegistryUnavailable,
    SemilayerError,
    TableAltered,
    Terminal,
    Transient,
)
from semilayer_pipelines.ingest import job_outcome
from semilayer_pipelines.ingest.built_with import built_with
from semilayer_pipelines.ingest.count_index import count_index
from semilayer_pipelines.ingest.full import run_full
from semilayer_pipelines.ingest.guard import Guard
from semilayer_pipelines.ingest.incremental import run_incremental
from semilayer_pipelines.ingest.job_outcome import Outcome, RunEnd
from semilayer_pipelines.ingest.lease import Lease
from semilayer_pipelines.ingest.left_batches import drop_left_over
from semilayer_pipelines.ingest.lens_watch import (
    LensWatch,
    PausedInPage,
    StartOver,
    WaitsForBatches,
)
from semilayer_pipelines.ingest.lost_jobs import queue_lost
from semilayer_pipelines.ingest.open_lens import OpenLens, as_indexed, open_lens
from semilayer_pipelines.ingest.outlook import unexpected
from semilayer_pipelines.ingest.progress import PageDone, Progress
from semilayer_pipelines.ingest.reconcile import reconcile
from semilayer_pipelines.ingest.records import run_records
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.smart_sync import smart_sync
from semilayer_pipelines.ingest.stored_fields import require_held
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.mapping.columns import same_rows
from semilayer_pipelines.memory import spare_memory
from semilayer_pipelines.one_model import require_dimension, require_model
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, failed_rows, generations, jobs, lenses
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from semilayer_pipelines.stores.patience import patiently
from semilayer_pipelines.stores.protocol import Index

__all__ = ["Outcome", "RunEnd", "run_job"]

logger = logging.getLogger(__name__)

MAX_STARTS = 5
"""A run starts over this often at most: somebody pushed or published, or a connection was lost."""


def run_job(
    project: Project,
    job_id: str,
    *,
    run_id: str | None = None,
    shard: int | None = None,
    report: Callable[[PageDone], None] = lambda _: None,
    was_cancelled: Callable[[], bool] | None = None,
    taken: Callable[[Job], None] = lambda _: None,
) -> Outcome:
    """Run a queued job to its end, or to the lens being paused.

    `shard` limits a full ingest to one shard. `report` is called after every page. `was_cancelled`
    is asked when the run is interrupted, and only then: did a person stop this job, or is the
    machine shutting down? Without it, Ctrl-C is a person and nothing else is. `taken` is called
    once the job is this run's, before anything is done for it.

    Raises the error that ended the run, after the job and the lens say so; a passing one leaves
    the job queued for another attempt. An interrupt leaves the job `canceled` or, when nobody
    cancelled it, queued to go on.
    """
    spare_memory()
    with project.registry.patiently(), patiently():
        return _run_job(project, job_id, run_id, shard, report, was_cancelled, taken)


def _run_job(
    project: Project,
    job_id: str,
    run_id: str | None,
    shard: int | None,
    report: Callable[[PageDone], None],
    was_cancelled: Callable[[], bool] | None,
    taken: Callable[[Job], None],
) -> Outcome:
    job = _take(project, job_id, run_id)
    if job is None:
        return Outcome(RunEnd.TAKEN, job_id, Counts(), None)
    with project.registry.read() as db:
        failed = failed_rows.count(db, job.lens_id)
    run = Run(
        job_id=job.id,
        mode=job.mode,
        run_id=run_id,
        confirmed=job.confirmed,
        had_failed_rows=failed > 0,
        lease=Lease(project.registry, job.lease or uuid4().hex),
        progress=Progress(project.registry, project.clock, job.id, report),
        watch=LensWatch(project.registry, job.lens_id),
    )
    try:
        taken(job)
        with run.lease.kept(lambda db: _beat(db, project, run, job)):
            outcome = _to_the_end(project, run, job, shard)
    except Fenced:
        raise
    except Exception as error:  # noqa: BLE001 - recorded on the job, then raised
        known = error if isinstance(error, SemilayerError) else unexpected(error)
        known.lens = known.lens or job.lens
        job_outcome.record_failure(project, run, job, known)
        raise known from (None if known is error else error)
    except BaseException as interrupt:
        # Dagster's cancel and Ctrl-C are no Exceptions: the run stops at once, its job says so.
        if job_outcome.stopped_by_a_person(interrupt, was_cancelled):
            job_outcome.record_cancel(project, run, job)
        else:
            job_outcome.record_interrupt(project, run, job)
        raise
    return outcome


def _take(project: Project, job_id: str, run_id: str | None) -> Job | None:
    now = project.clock()

    def take(db: Connection) -> Job | None:
        asked = jobs.get(db, job_id)
        if asked.mode is not Mode.FULL:
            if run_id is None:
                queue_lost(db, asked.lens_id, now)
            return jobs.take(db, job_id, lease=uuid4().hex, run_id=run_id, now=now)
        job = jobs.join(db, job_id, run_id=run_id, now=now)
        # A lens paused between launch and start stays paused: the run ends before its first page.
        if job and lenses.by_id(db, job.lens_id).status is not LensStatus.PAUSED:
            lenses.set_status(db, job.lens_id, LensStatus.INDEXING, now=now)
        return job

    return project.registry.transact(take)


def _to_the_end(project: Project, run: Run, job: Job, shard: int | None) -> Outcome:
    """Run the job by the lens as it is now; start over when what it went by has changed.

    A run may stop at any instruction and start over, so it does so as well when it loses its
    connection to the registry. It waits for another one as long as `PATIENCE_SECONDS`.
    """
    why: SemilayerError
    for _ in range(MAX_STARTS):
        try:
            return _once(project, run, job, shard)
        except (StartOver, TableAltered, IndexDropped) as error:
            if isinstance(error, IndexDropped):
                logger.warning("%s The run starts over.", error.message)
            why = Transient(
                "The lens was pushed, its index switched or dropped, or its table altered again "
                "and again during this run.",
                cure="It is tried again once that is over.",
                lens=job.lens,
            )
        except RegistryUnavailable as error:
            if not error.lost:
                raise
            why = error
    raise why


def _once(project: Project, run: Run, job: Job, shard: int | None) -> Outcome:
    with project.registry.read() as db:
        lens = lenses.by_id(db, job.lens_id)
    run.watch.begin(lens.config_hash)
    if job.mode is not Mode.FULL:
        lens = as_indexed(project, lens)
    with open_lens(project, lens, new_index=job.mode is Mode.FULL) as opened:
        _note_tracked(opened)
        if job.mode is Mode.FULL:
            drop_left_over(project, job.lens_id)  # before their texts are paid for at once
        try:
            outcome = _dispatch(opened, run, job, shard)
        except PausedInPage:
            outcome = _outcome(opened, run, RunEnd.PAUSED, None)
        except WaitsForBatches as waits:
            outcome = _outcome(opened, run, RunEnd.WAITING, None)
            outcome = replace(outcome, look_at=waits.look_at)
        if job.mode is Mode.FULL:
            drop_left_over(project, job.lens_id)
        try:
            job_outcome.record_end(opened, run, job, outcome)
        except RegistryUnavailable as error:
            error.lost = False  # It may have been kept all the same.
            raise
        if job.mode is Mode.FULL and lens.config.embedding.batch:
            return outcome  # vectors that were only looked up tell nothing of a speed
        took = run.progress.embedding
        keep_rate(
            opened.embedder.fingerprint,
            texts=took.texts,
            tokens=took.tokens,
            seconds=took.seconds,
        )
        return outcome


def _note_tracked(opened: OpenLens) -> None:
    """Let the registry know the tracked column, which it tells callers without asking a source."""
    found = ", ".join(opened.tracked)
    if opened.lens.needs is not Needs.REBUILD and opened.lens.tracked != found:
        with opened.registry.begin() as db:
            lenses.note_tracked(db, opened.lens.id, found)


def _dispatch(opened: OpenLens, run: Run, job: Job, shard: int | None) -> Outcome:
    if job.mode is Mode.FULL:
        published = run_full(opened, run, shard=shard)
        ended = (
            RunEnd.COMPLETED if published else RunEnd.PAUSED if run.paused() else RunEnd.SHARE_DONE
        )
        filled = Target(opened, published) if published else None
        return _outcome(opened, run, ended, filled, published=published is not None)
    with opened.registry.read() as db:
        generation = generations.active(db, opened.lens.id)
    if generation is None and job.mode is Mode.RECORDS:
        # The buffer keeps the changes until there is an index; publishing asks for this again.
        return _outcome(opened, run, RunEnd.COMPLETED, None)
    if generation is None:
        raise Refused(
            "There is no index yet.",
            cure=f"Start the first ingest: `semilayer resume --lens {opened.lens.name}`.",
            lens=opened.lens.name,
        )
    if built_with(generation) != opened.built:
        raise StartOver  # a rebuild was published since the lens was opened
    require_model(generation.model_fingerprint, opened.embedder.fingerprint, lens=opened.lens.name)
    _refuse_another_key(opened, generation)
    target = Target(opened, generation)
    _refuse_another_dimension(target)
    if target.index is not None:
        require_held(opened.mapping, target.index.schema, lens=opened.lens.name)
    elif job.mode is not Mode.SMART_SYNC:
        # A few rows in a new index would pass for all of them. Only a whole walk fills it again.
        written_index(opened.registry, opened.store, generation)
    try:
        target.notice_restart(run)
        complete = _choose_rows(opened, run, job, target)
    except NotFound:
        # A rebuild in place may have dropped the index between two looks at it.
        opened.registry.transact(target.check_current)
        raise
    return _outcome(opened, run, RunEnd.COMPLETED if complete else RunEnd.PAUSED, target)


def _refuse_another_key(opened: OpenLens, generation: Generation) -> None:
    """Raise `FieldsChanged` when the table tells its rows apart by another key than the index."""
    config, key = opened.lens.config, opened.selection.key
    if not same_rows(config, generation.config, key):
        before = ", ".join(generation.config.primary_key)
        raise FieldsChanged(
            f"The key of table {config.table!r} is {', '.join(key)} now, and the index knows its "
            f"rows by {before}.",
            cure=f"It needs a rebuild: `semilayer resume --lens {opened.lens.name}`. Or name the "
            "old one as 'primaryKey' and push.",
            lens=opened.lens.name,
        )


def _refuse_another_dimension(target: Target) -> None:
    """Raise `DimensionChanged` when the index is not as long as its generation (invariant 9).

    Our own writes cannot bring that about; somebody who puts another table in its place can.
    """
    index, dimension = target.index, target.generation.dimension
    if index is not None and dimension is not None:
        require_dimension(
            index.dimension,
            dimension,
            giver=f"The index {index.name} holds vectors of",
            holder="its generation was built with",
        )


def _choose_rows(opened: OpenLens, run: Run, job: Job, target: Target) -> bool:
    guard = None if job.confirmed else Guard(opened.lens.config.guard)
    match job.mode:
        case Mode.RECORDS:
            with opened.registry.begin() as db:
                changes.release(db, job.id)
            return run_records(opened, run, target, due_at=job.due_at)
        case Mode.INCREMENTAL:
            return run_incremental(opened, run, target)
        case Mode.SMART_SYNC:
            return smart_sync(opened, run, target, guard=guard, full_walk=job.full_walk)
        case Mode.REPAIR:
            return reconcile(opened, run, target, shard=job.shard, guard=guard).complete
        case Mode.FULL:
            raise AssertionError("a full ingest chooses its generation itself")


def _outcome(
    opened: OpenLens,
    run: Run,
    ended: RunEnd,
    target: Target | None,
    *,
    published: bool = False,
) -> Outcome:
    index = target.index if target else None
    overdue = _upkeep(index) if index is not None and ended is RunEnd.COMPLETED else None
    counts = run.progress.counts
    wrote = published or counts.written + counts.deleted + counts.recovered > 0
    # The run that wrote last has kept the numbers for others.
    rows = count_index(index, opened.kept_facts if wrote else None)[0] if index else None
    return Outcome(
        ended,
        run.job_id,
        counts,
        target.generation if target else None,
        published=published,
        index_rows=rows,
        seconds=run.progress.seconds,
        overdue=overdue,
    )


def _upkeep(index: Index) -> SemilayerError | None:
    """Maintain an index; return what kept it from that, as the rows are written all the same."""
    try:
        index.maintain()
    except (Transient, Terminal) as error:
        overdue = Terminal(
            f"The rows are written, but the upkeep of the index is overdue: {error.message}",
            cure=f"{error.cure} The next job tries it again.",
        )
        logger.warning("%s", overdue)
        return overdue
    return None


def _beat(db: Connection, project: Project, run: Run, job: Job) -> bool:
    now = project.clock()
    if job.lease is not None:
        return jobs.heartbeat(db, job.id, lease=job.lease, counts=run.progress.counts, now=now)
    # Another shard's run may have queued a full ingest again, or completed it: that stops nobody.
    stopped = (JobStatus.CANCELED, JobStatus.FAILED)
    return jobs.beat(db, job.id, now) or jobs.get(db, job.id).status not in stopped
