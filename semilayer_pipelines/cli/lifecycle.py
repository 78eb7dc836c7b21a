"""`semilayer resume`, `semilayer pause`."""

from __future__ import annotations

import click

from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_aside, say_json
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.cli.lens_selection import check_confirmed, chosen_lenses, takes_lens
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.lifecycle import Resumed
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = ["pause", "queued_line", "resume", "resumed_lines"]

_confirm_deletes = click.option(
    "--confirm-deletes",
    is_flag=True,
    help="The rows are really gone: let this job pass the guard. Needs --lens.",
)
_wait = click.option("--wait", is_flag=True, help="Follow the job to its end; fails if it fails.")


@click.command()
@takes_lens("Only this lens; by default all paused and failed ones.")
@_confirm_deletes
@_wait
@env_option
@json_option
@click.pass_obj
def resume(
    here: Here, lens: str | None, confirm_deletes: bool, wait: bool, env: str, as_json: bool
) -> None:
    """Start, continue or retry the ingest of lenses.

    A new lens starts its first full ingest. A paused one goes on where it stopped. A failed one is
    retried. The command returns at once; Dagster does the work.
    """
    check_confirmed(confirm_deletes, lens)
    project = here.project
    tell = say_aside if as_json else say
    started: list[Job] = []
    told: list[dict[str, object]] = []
    for name in _resting(project, env) if lens is None else [lens]:
        resumed = lifecycle.resume(project, env, name, confirmed=confirm_deletes)
        for line in resumed_lines(resumed):
            tell(line)
        jobs = [*([resumed.job] if resumed.job else []), *resumed.held]
        told.append(
            {
                "lens": name,
                "status": resumed.lens.status.value,
                "jobs": [{"id": job.id, "mode": job.mode.value} for job in jobs],
            }
        )
        started += jobs
    if not told:
        tell("No lens is paused or failed.")
    if as_json:
        say_json(told)
    if wait:
        follow(project, [job.id for job in started], tell=tell)


@click.command()
@takes_lens("Only this lens; by default all of the environment.")
@env_option
@json_option
@click.pass_obj
def pause(here: Here, lens: str | None, env: str, as_json: bool) -> None:
    """Stop the ingest of lenses after their current page."""
    project = here.project
    with project.registry.read() as db:
        names = [one.name for one in chosen_lenses(db, env, lens)]
    told = []
    for name in names:
        paused = lifecycle.pause(project, env, name)
        told.append({"lens": name, "status": paused.status.value})
        if not as_json:
            say(f"{name}: paused. Go on with: semilayer resume --lens {name}")
    if as_json:
        say_json(told if lens is None else told[0])
    elif not told:
        say(f"No lens is registered in {env!r}.")


def resumed_lines(resumed: Resumed) -> list[str]:
    """Return what a resumed lens does now, one line per job."""
    name, job = resumed.lens.name, resumed.job
    told = [] if job is None else [queued_line(job)]
    told += [
        f"{name}: the {held.mode.value} ingest that waited goes on, job {held.id[:8]}."
        for held in resumed.held
    ]
    return told or [f"{name}: nothing to catch up with; it is {resumed.lens.status.value}."]


def queued_line(job: Job) -> str:
    """Return a line on a job that was requested; one that existed already may be running."""
    return f"{job.lens}: {job.mode.value} ingest {job.status.value}, job {job.id[:8]}."


def _resting(project: Project, env: str) -> list[str]:
    with project.registry.read() as db:
        known = chosen_lenses(db, env, None)
    return [lens.name for lens in known if lens.status in (LensStatus.PAUSED, LensStatus.ERROR)]
