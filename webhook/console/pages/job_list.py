"""Jobs: a list to look through, and one of them page by page with its whole error."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from semilayer_pipelines.errors import NotFound, nearest
from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.state import JobState, job_state
from semilayer_pipelines.registry import jobs, lenses, page_log
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.page_log import LoggedPage
from webhook.console.plot import bars
from webhook.console.web import At, Page
from webhook.service.problems import bad_request

__all__ = ["all_jobs", "one_job"]

JOBS_A_PAGE = 50
"""Jobs on one page of the console."""

SHOWN_PAGES = 100
"""Pages of a job that the console shows, the last ones."""

W = TypeVar("W", bound=StrEnum)


@dataclass(frozen=True)
class _Listed:
    jobs: list[Job]
    more: bool
    lenses: list[str]


@dataclass(frozen=True)
class _Told:
    state: JobState
    pages: list[LoggedPage]


async def all_jobs(at: At) -> Page:
    """Show jobs, the newest first, those of a status, a mode or a lens where that is asked.

    Raises `Problem` for a status or a mode that there is not.
    """
    project = at.console.service.project
    status, mode = _word(at, "status", JobStatus), _word(at, "mode", Mode)
    lens, before = at.asked("lens"), at.asked("before")
    key = ("jobs", at.env, status, mode, lens, before)
    found = await at.console.kept.get(
        key, lambda: at.read(lambda: _look(project, at.env, status, mode, lens, before))
    )
    return Page(
        "jobs.html",
        {
            "found": found,
            "status": status or "",
            "mode": mode or "",
            "chosen": lens,
            "before": before,
            "statuses": list(JobStatus),
            "modes": list(Mode),
        },
    )


async def one_job(at: At) -> Page:
    """Show a job page by page."""
    project, env, id = at.console.service.project, at.env, str(at.request.path_params["id"])

    def look() -> _Told:
        with project.registry.read() as db:
            found = jobs.find(db, env, id)
            pages = page_log.of_job(db, found.id, SHOWN_PAGES)
            return _Told(job_state(db, found), pages)

    told = await at.console.kept.get(("job", env, id), lambda: at.read(look))
    rates = [page.rows / page.seconds if page.seconds else 0.0 for page in told.pages[::-1]]
    run = told.state.job.run_id
    url = f"{project.dagster_url}/runs/{run}" if run and project.dagster_url else ""
    return Page(
        "job.html",
        {"told": told, "job": told.state.job, "rates": bars(rates), "run_url": url},
    )


def _look(
    project: Project,
    env: str,
    status: JobStatus | None,
    mode: Mode | None,
    lens: str,
    before: str,
) -> _Listed:
    with project.registry.read() as db:
        known = {one.name: one.id for one in lenses.list_all(db, env)}
        if lens and lens not in known:
            raise NotFound(f"There is no lens {lens!r} in {env!r}.")
        found = jobs.recent(
            db,
            env=env,
            lens_id=known.get(lens),
            status=status,
            mode=mode,
            before=jobs.find(db, env, before) if before else None,
            limit=JOBS_A_PAGE + 1,
        )
    return _Listed(found[:JOBS_A_PAGE], len(found) > JOBS_A_PAGE, sorted(known))


def _word(at: At, name: str, words: type[W]) -> W | None:
    asked = at.asked(name)
    if asked and asked not in list(words):
        raise bad_request(
            f"There is no {name} {asked!r}{nearest(asked, list(words))}.",
            f"Choose one of: {', '.join(words)}.",
        )
    return words(asked) if asked else None
