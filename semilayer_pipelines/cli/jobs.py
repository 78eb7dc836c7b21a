"""`semilayer jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import click

from semilayer_pipelines.cli.combinations import not_with
from semilayer_pipelines.cli.context import (
    MOST_LISTED,
    Here,
    console,
    env_option,
    json_option,
    say,
    say_json,
)
from semilayer_pipelines.cli.follow import describe
from semilayer_pipelines.cli.tables import table_of
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.queries.state import JobState, job_state
from semilayer_pipelines.registry import environments, jobs, lenses, page_log
from semilayer_pipelines.registry.jobs import Job, JobStatus
from semilayer_pipelines.registry.page_log import LoggedPage

__all__ = ["job_json", "jobs_command"]

SHOWN_PAGES = 10


@click.command("jobs")
@click.argument("job_id", required=False)
@click.option("--lens", help="Only the jobs of this lens.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LISTED),
    default=20,
    show_default=True,
    help="How many of the latest jobs.",
)
@env_option
@json_option
@click.pass_obj
def jobs_command(
    here: Here, job_id: str | None, lens: str | None, limit: int, env: str, as_json: bool
) -> None:
    """List the latest jobs, or show one job page by page.

    With --lens the list shows how the lens's rows per second went over time.
    The first characters of a job's id are enough if no other id begins with them.
    """
    not_with("JOB_ID", "--lens", "--limit")
    project = here.project
    if job_id is not None:
        with project.registry.read() as db:
            state = job_state(db, jobs.find(db, env, job_id))
            pages = page_log.of_job(db, state.job.id, SHOWN_PAGES)
        if as_json:
            say_json(_story_as_json(state, pages, project.dagster_url))
        else:
            _story(state, pages, project.dagster_url)
        return
    with project.registry.read() as db:
        environments.check_known(db, env)
        lens_id = None if lens is None else lenses.get(db, env, lens).id
        latest = jobs.recent(db, env=env, lens_id=lens_id, limit=limit)
    if as_json:
        say_json([job_json(job) for job in latest])
        return
    if not latest:
        say(f"No job of {lens or repr(env)} yet. Start the first: semilayer resume")
        return
    numbered = ("rows/s", "read", "written", "deleted")
    table = table_of("job", "lens", "mode", "status", "started (UTC)", *numbered, numbers=numbered)
    for job in latest:
        started = f"{job.started_at:%Y-%m-%d %H:%M:%S}" if job.started_at else ""
        numbers = (_rate(job), job.counts.read, job.counts.written, job.counts.deleted)
        table.add_row(
            job.id[:8],
            job.lens,
            job.mode.value,
            job.status.value,
            started,
            *("" if n is None else f"{n:,.0f}" for n in numbers),
        )
    console().print(table)


def _story(state: JobState, pages: Sequence[LoggedPage], dagster_url: str | None) -> None:
    job = state.job
    say(describe(replace(job, counts=state.counts)))
    say(f"id         {job.id}")
    say(f"asked for  {_when(job.created_at)} by {job.origin}, attempt {job.attempt}")
    if job.started_at:
        say(f"started    {_when(job.started_at)}")
    if job.ended_at:
        say(f"ended      {_when(job.ended_at)}")
    if job.status is JobStatus.QUEUED:
        say(f"due        {_when(job.due_at)}")
    if job.run_id:
        say(f"run        {_url(job, dagster_url) or job.run_id}")
    if job.error:
        say(f"error      {job.error} {job.cure or ''}")
    if state.failed:
        say(f"set aside  {len(state.failed):,} rows: semilayer failed --lens {job.lens}")
    if pages:
        say("\nthe last pages")
    for page in reversed(pages):
        c = page.counts
        say(
            f"  {page.at:%H:%M:%S}  page {page.page}, shard {page.shard}: {page.rows:,} rows in "
            f"{page.seconds:.2f} s, {c.embedded:,} embedded, {c.reused:,} vectors reused, "
            f"{c.unchanged:,} unchanged, {c.written:,} written, {c.failed:,} set aside"
            + (f", {c.textless:,} without a text" if c.textless else "")
        )


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _url(job: Job, dagster_url: str | None) -> str | None:
    return f"{dagster_url}/runs/{job.run_id}" if job.run_id and dagster_url else None


def _story_as_json(
    state: JobState, pages: Sequence[LoggedPage], dagster_url: str | None
) -> dict[str, object]:
    job = state.job
    return {
        **job_json(replace(job, counts=state.counts)),
        "url": _url(job, dagster_url),
        "failed": [{"id": row.key, "reason": row.reason} for row in state.failed],
        "pages": [
            {
                "at": utc_text(page.at),
                "page": page.page,
                "shard": page.shard,
                "rows": page.rows,
                "seconds": round(page.seconds, 3),
                "counts": page.counts.as_dict(),
            }
            for page in reversed(pages)
        ],
    }


def _seconds(job: Job) -> float | None:
    if job.started_at is None or job.ended_at is None:
        return None
    return round((job.ended_at - job.started_at).total_seconds(), 3)


def _rate(job: Job) -> float | None:
    """Return how many rows a second a job read, once it has ended."""
    seconds = _seconds(job)
    return round(job.counts.read / seconds, 1) if seconds else None


def job_json(job: Job) -> dict[str, object]:
    """Return a job as it is printed with `--json`."""
    return {
        "id": job.id,
        "lens": job.lens,
        "env": job.env,
        "mode": job.mode.value,
        "status": job.status.value,
        "origin": job.origin,
        "runId": job.run_id,
        "attempt": job.attempt,
        "counts": job.counts.as_dict(),
        "error": job.error,
        "cure": job.cure,
        "createdAt": utc_text(job.created_at),
        "dueAt": utc_text(job.due_at),
        "startedAt": utc_text(job.started_at) if job.started_at else None,
        "endedAt": utc_text(job.ended_at) if job.ended_at else None,
        "seconds": _seconds(job),
        "rowsPerSecond": _rate(job),
    }
