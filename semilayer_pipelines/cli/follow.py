"""Following jobs to their end, with a bar in a terminal and a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from semilayer_pipelines.cli.context import INTERRUPTED, console, say
from semilayer_pipelines.counts import Counts, Speed
from semilayer_pipelines.errors import Refused, Terminal
from semilayer_pipelines.http.contract import TERMINAL_STATUSES
from semilayer_pipelines.orchestration.remote.diagnose import why_waiting
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.failing import wait_told
from semilayer_pipelines.registry import batches, generations, jobs, lenses, page_log, shards
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["describe", "follow", "progress_of"]

POLL_SECONDS = 0.5
LINE_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
"""A queued job is usually taken within 10 s; after this long its follower says why it is not."""

Tell = Callable[[str], None]


def follow(project: Project, job_ids: Sequence[str], *, tell: Tell = say) -> None:
    """Show how the jobs get on until all have ended.

    Raises `Terminal` when one did not complete, or failed and waits to be tried again later, and
    `Refused` when its lens was paused meanwhile.
    """
    for job_id in job_ids:
        try:
            job = _follow_one(project, job_id, tell)
        except KeyboardInterrupt:
            tell(f"\nThe job goes on without a follower: semilayer jobs {job_id[:8]}")
            raise click.exceptions.Exit(INTERRUPTED) from None
        tell(describe(job))
        if job.status is JobStatus.QUEUED:
            again = wait_told(job.due_at, project.clock())
            raise Terminal(
                f"The {job.mode.value} job {job.id[:8]} failed and is {again}: {job.error}",
                cure=job.cure or "",
                lens=job.lens,
            )
        if job.status is not JobStatus.COMPLETED:
            raise Terminal(
                f"The {job.mode.value} job {job.id[:8]} ended {job.status.value}: "
                f"{job.error or 'no reason was given.'}",
                cure=job.cure or "",
                lens=job.lens,
            )
        if job.error:
            tell(f"{job.lens}: {job.error} {job.cure or ''}")


def progress_of(project: Project, job: Job) -> tuple[Counts, int | None]:
    """Return what a running job has done so far and how many rows it expects to read."""
    with project.registry.read() as db:
        pages = page_log.total(db, job.id)
        building = generations.building(db, job.lens_id) if job.mode is Mode.FULL else None
        if building is None:
            active = generations.active(db, job.lens_id)
            return pages, active.source_rows if active and job.mode is Mode.SMART_SYNC else None
        done = sum((shard.counts for shard in shards.list_all(db, building.id)), Counts())
        return done, building.source_rows


def describe(job: Job) -> str:
    """Return one line on a job that has ended or is under way."""
    c = job.counts
    seconds = (
        (job.ended_at - job.started_at).total_seconds() if job.ended_at and job.started_at else 0.0
    )
    speed = f" ({c.read / seconds:,.0f} rows/s)" if seconds and c.read else ""
    took = f" in {seconds:.1f} s{speed}" if seconds else ""
    return (
        f"{job.lens}: {job.mode.value} {job.status.value}{took}: {c.read:,} read, "
        f"{c.unchanged:,} unchanged, {c.embedded:,} embedded, {c.reused:,} vectors reused, "
        f"{c.written:,} written, {c.deleted:,} deleted, {c.failed:,} set aside"
        + (f", {c.proven:,} proven unchanged and not read" if c.proven else "")
        + (f", {c.recovered:,} hidden from searches and written again" if c.recovered else "")
        + (f", {c.not_found:,} named and not found" if c.not_found else "")
        + (f", {c.truncated:,} cut by the model" if c.truncated else "")
        + (f", {c.textless:,} left out without a text" if c.textless else "")
        + (f", {c.nulled:,} values left empty that do not fit" if c.nulled else "")
        + (
            f", {c.missed_updates:,} changed without moving the tracked column"
            if c.missed_updates
            else ""
        )
        + (f", {c.untracked:,} without a tracked value" if c.untracked else "")
        + (f", {c.in_the_future:,} with a time in the future" if c.in_the_future else "")
    )


@dataclass
class _Follower:
    """What is known of one job while it is followed; moments are those of `time.monotonic`."""

    project: Project
    tell: Tell
    bar: Progress
    task: TaskID
    by_lines: bool
    waiting_since: float
    told: float
    failed_attempts: int = 0
    first: tuple[float, Counts] | None = None

    def queued(self, job: Job, now: float) -> None:
        """Tell of an attempt that failed, and why nobody takes the job if it waits for long."""
        if job.error and job.attempt > self.failed_attempts:
            self.failed_attempts, self.waiting_since = job.attempt, now
            self.tell(f"{job.lens}: {job.error} It will be tried again.")
        if now - self.waiting_since > PATIENCE_SECONDS:
            self.waiting_since = now
            with self.project.registry.read() as db:
                awaited = batches.awaited(db, job.lens_id) if job.mode is Mode.FULL else None
            if awaited is not None:
                self.tell(f"{job.lens}: {awaited}.")
                return
            why = why_waiting(self.project.settings.root)
            self.tell(f"{job.lens}: still queued. {why}")

    def running(self, job: Job, now: float) -> None:
        """Move the bar, or print a line now and then."""
        self.waiting_since = now
        counts, expected = progress_of(self.project, job)
        self.first = self.first or (now, counts)
        speed = _speed(self.first, now, counts, expected)
        self.bar.update(
            self.task,
            description=f"{job.lens}: {job.mode.value}",
            completed=counts.read,
            total=expected or max(counts.read, 1),
            speed=speed,
        )
        if self.by_lines and now - self.told > LINE_SECONDS:
            self.told = now
            of = f" of {expected:,}" if expected else ""
            embedded = f"{counts.embedded:,} embedded"
            self.tell(f"{job.lens}: {counts.read:,}{of} rows read, {embedded}{speed}")


def _follow_one(project: Project, job_id: str, tell: Tell) -> Job:
    by_lines = tell is not say or not console().is_terminal
    with _bar(disable=by_lines) as bar:
        task = bar.add_task("waiting for Dagster to pick it up", total=1, speed="")
        now = time.monotonic()
        follower = _Follower(project, tell, bar, task, by_lines, waiting_since=now, told=now)
        while True:
            with project.registry.read() as db:
                job = jobs.get(db, job_id)
                status = lenses.by_id(db, job.lens_id).status
            # One that is told as an error waits for minutes and hours, its follower for seconds.
            waits_long = job.status is JobStatus.QUEUED and job.failing
            if job.status in TERMINAL_STATUSES or (waits_long and status is LensStatus.ERROR):
                return job
            if job.status is JobStatus.QUEUED and status is LensStatus.PAUSED:
                raise Refused(
                    "It was paused; the job keeps its place.",
                    cure=f"Go on with: semilayer resume --lens {job.lens}",
                    lens=job.lens,
                )
            if job.status is JobStatus.QUEUED:
                follower.queued(job, time.monotonic())
            else:
                follower.running(job, time.monotonic())
            time.sleep(POLL_SECONDS)


def _bar(*, disable: bool) -> Progress:
    # Late: `status` takes words from this module, and draws no bar.
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[speed]}"),
        console=console(),
        transient=True,
        disable=disable,
    )


def _speed(first: tuple[float, Counts], now: float, counts: Counts, expected: int | None) -> str:
    """Return how fast it goes since the first look at it; empty before another page has ended."""
    since, before = first
    done = replace(counts, read=counts.read - before.read, tokens=counts.tokens - before.tokens)
    if done.read <= 0:
        return ""
    rows_left = None if expected is None else expected - counts.read
    return f", {Speed.of(done, now - since, rows_left=rows_left)}"
