"""A run that has done its own job does small jobs of any lens, one after the other.

Its tags go on naming the job that it was launched for. Only those that the queue's limits count
follow the job at hand, so that nothing of that job's kind starts beside it. A person who cancels
the run cancels what it does for its own lens; another lens's job is queued again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.orchestration.dagster_run import perform, was_cancelled
from semilayer_pipelines.orchestration.names import TAG_SWEEP, TAG_WALK, limit_tags, run_key
from semilayer_pipelines.orchestration.places import place_is_wanted
from semilayer_pipelines.orchestration.recovery import cancel_queued, cancelled_launches
from semilayer_pipelines.orchestration.reporting import Context, last_line
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.jobs import Job, Mode

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = ["do_small_jobs"]


def do_small_jobs(
    context: Context, project: Project, own: Job, outcome: Outcome
) -> Iterator[tuple[Job, Outcome, int]]:
    """Do the small jobs that are due; yield each with its outcome and the shards of its lens.

    A records run that did its own job lingers for more. Raises what `perform` raises: a job that
    fails ends the run, so that Dagster shows it as failed.
    """
    from semilayer_pipelines.ingest.further_jobs import further_jobs
    from semilayer_pipelines.ingest.run_job import RunEnd

    held = dict(context.run.tags)
    following = further_jobs(
        project,
        own.mode,
        lingers=own.mode is Mode.RECORDS and outcome.ended is RunEnd.COMPLETED,
        place_is_wanted=lambda: place_is_wanted(context.instance),
        was_cancelled=lambda: was_cancelled(context),
    )
    for job in following:
        if run_key(job) in cancelled_launches(context.instance, [job.id]):
            cancel_queued(project, job)
            continue
        try:
            with project.registry.read() as db:
                shards = lenses.by_id(db, job.lens_id).config.shards
        except NotFound:
            continue  # It was removed since, and its jobs with it.
        done = _do(context, project, own, job, shards, held)
        if done.ended is not RunEnd.TAKEN:
            context.log.info(last_line(job, done))
            yield job, done, shards


def _do(
    context: Context, project: Project, own: Job, job: Job, shards: int, held: dict[str, str]
) -> Outcome:
    def begin(job: Job) -> None:
        # A tag cannot be taken off a run; what the job does not need gets a value of its own.
        spare = {tag: job.singleton for tag in (TAG_SWEEP, TAG_WALK) if tag in held}
        wanted = spare | limit_tags(job)
        if not wanted.items() <= held.items():
            context.instance.add_run_tags(context.run.run_id, wanted)
            held.update(wanted)
        if job.lens_id != own.lens_id:
            context.log.info(f"Job {job.id}: {job.mode.value} of {job.env}/{job.lens}.")

    return perform(
        context,
        project,
        job,
        None,
        shards,
        cancelled=lambda: job.lens_id == own.lens_id and was_cancelled(context),
        taken=begin,
    )
