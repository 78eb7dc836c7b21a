"""Following jobs to their end, with a bar in a terminal and a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from semilayer_pipelines.cli.context import console, say
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import Terminal
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, jobs, page_log, shards
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode

__all__ = ["describe", "follow", "progress_of"]

POLL_SECONDS = 0.5
LINE_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
_ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED)


def follow(project: Project, job_ids: Sequence[str]) -> None:
    """Show how the jobs get on until all have ended; raise `Terminal` when one did not complete."""
    for job_id in job_ids:
        job = _follow_one(project, job_id)
        say(describe(job))
        if job.status is not JobStatus.COMPLETED:
            raise Terminal(
                f"The {job.mode.value} job {job.id[:8]} ended {job.status.value}: "
                f"{job.error or 'no reason was given'}.",
                cure=job.cure or "",
                lens=job.lens,
            )


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
    took = f" in {seconds:.1f} s ({c.read / seconds:,.0f} rows/s)" if seconds else ""
    return (
        f"{job.lens}: {job.mode.value} {job.status.value}{took}: {c.read:,} read, "
        f"{c.unchanged:,} unchanged, {c.embedded:,} embedded, {c.reused:,} vectors reused, "
        f"{c.written:,} written, {c.deleted:,} deleted, {c.failed:,} set aside"
        + (f", {c.truncated:,} cut by the model" if c.truncated else "")
    )


def _follow_one(project: Project, job_id: str) -> Job:
    started = told = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("waiting for Dagster to pick it up", total=1)
        while True:
            with project.registry.read() as db:
                job = jobs.get(db, job_id)
            if job.status in _ENDED:
                return job
            now = time.monotonic()
            if job.status is JobStatus.QUEUED and now - started > PATIENCE_SECONDS:
                started = now
                say(f"{job.lens}: still queued. Is Dagster running? `make dev` starts it.")
            if job.status is JobStatus.RUNNING:
                counts, expected = progress_of(project, job)
                bar.update(
                    task,
                    description=f"{job.lens}: {job.mode.value}",
                    completed=counts.read,
                    total=expected or max(counts.read, 1),
                )
                if not console.is_terminal and now - told > LINE_SECONDS:
                    told = now
                    of = f" of {expected:,}" if expected else ""
                    say(f"{job.lens}: {counts.read:,}{of} rows read, {counts.embedded:,} embedded")
            time.sleep(POLL_SECONDS)
