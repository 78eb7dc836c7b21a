"""`semilayer jobs`."""

from __future__ import annotations

import click
from rich.table import Table

from semilayer_pipelines.cli.context import Here, console, env_option, json_option, say, say_json
from semilayer_pipelines.cli.follow import describe
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Job

__all__ = ["jobs_command"]


@click.command("jobs")
@click.argument("job_id", required=False)
@click.option("--limit", default=20, show_default=True, help="How many of the latest.")
@env_option
@json_option
@click.pass_obj
def jobs_command(here: Here, job_id: str | None, limit: int, env: str, as_json: bool) -> None:
    """List the latest jobs, or tell one job's story.

    The first characters of a job's id are enough, as long as no other begins with them.
    """
    project = here.project
    if job_id:
        with project.registry.read() as db:
            job = jobs.find(db, job_id)
        if as_json:
            say_json(_as_json(job))
        else:
            _story(job, project.settings.dagster_url)
        return
    with project.registry.read() as db:
        latest = jobs.recent(db, env=env, limit=limit)
    if as_json:
        say_json([_as_json(job) for job in latest])
        return
    if not latest:
        say(f"No job in {env!r} yet. Start the first: semilayer resume")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("job", "lens", "mode", "status", "started (UTC)", "read", "written", "deleted"):
        table.add_column(title)
    for job in latest:
        started = f"{job.started_at:%Y-%m-%d %H:%M:%S}" if job.started_at else ""
        numbers = (job.counts.read, job.counts.written, job.counts.deleted)
        table.add_row(
            job.id[:8],
            job.lens,
            job.mode.value,
            job.status.value,
            started,
            *(f"{n:,}" for n in numbers),
        )
    console.print(table)


def _story(job: Job, dagster_url: str) -> None:
    say(describe(job))
    say(f"id         {job.id}")
    say(f"asked for  {job.created_at:%Y-%m-%d %H:%M:%S} UTC by {job.origin}, attempt {job.attempt}")
    if job.run_id:
        say(f"run        {dagster_url}/runs/{job.run_id}")
    if job.error:
        say(f"error      {job.error} {job.cure or ''}")


def _as_json(job: Job) -> dict[str, object]:
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
        "createdAt": job.created_at.isoformat(),
        "startedAt": job.started_at.isoformat() if job.started_at else None,
        "endedAt": job.ended_at.isoformat() if job.ended_at else None,
    }
