"""Every lens at a glance: how it stands, why, and the buttons that mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import jobs, lenses
from semilayer_pipelines.registry.history import LensHistory, history
from semilayer_pipelines.registry.jobs import QueueCounts
from webhook.console.standing import Standing, standing_of
from webhook.console.web import At, Page

__all__ = ["Overview", "all_lenses", "overview"]

PERIOD = timedelta(minutes=15)
PERIODS = 96
"""A day in quarters of an hour."""

LENSES_A_PAGE = 50
"""Lenses on one page of the console, those in trouble first."""

OVERVIEW_SECONDS = 60.0
"""How long a page of the console waits for the rows and vectors of all lenses to be counted."""

HISTORY_SECONDS = 60.0
"""How long the console shows the plots of a day before it reads them again, at least."""


@dataclass(frozen=True)
class Overview:
    """An environment: its lenses, its queue, and why the store could not be asked (or empty)."""

    lenses: dict[str, Standing]
    queue: QueueCounts
    store: str


async def all_lenses(at: At) -> Page:
    """Show every lens of the environment."""
    found = await overview(at)
    order = {"bad": 0, "busy": 1, "rest": 2, "good": 2}
    ranked = sorted(found.lenses.values(), key=lambda one: (order[one.tone], one.line.name))
    last = max(1, -(-len(ranked) // LENSES_A_PAGE))
    number = min(at.page_number, last)
    shown = ranked[(number - 1) * LENSES_A_PAGE : number * LENSES_A_PAGE]
    return Page("lenses.html", {"found": found, "lenses": shown, "number": number, "last": last})


async def overview(at: At) -> Overview:
    """Return how the environment stands, as of some seconds ago at most."""
    project, env, kept = at.console.service.project, at.env, at.console.kept
    past = await kept.get(
        ("history", env),
        lambda: at.read(lambda: _history(project, env)),
        seconds=HISTORY_SECONDS,
    )
    return await kept.get(
        ("overview", env),
        lambda: at.slow(lambda: _overview(project, env, past), seconds=OVERVIEW_SECONDS),
    )


def _history(project: Project, env: str) -> Mapping[int, LensHistory]:
    # The second that is not over yet belongs to the day.
    now = project.clock().replace(microsecond=0) + timedelta(seconds=1)
    with project.registry.read() as db:
        return history(db, env, now - PERIOD * PERIODS, PERIOD, PERIODS, now)


def _overview(project: Project, env: str, past: Mapping[int, LensHistory]) -> Overview:
    # Loads a store, which the webhook must not need when it starts.
    from semilayer_pipelines.cli.status_document import status_of
    from semilayer_pipelines.control.rollback import lenses_with_an_earlier_index

    told = status_of(project, env, None)
    now = project.clock()
    with project.registry.read() as db:
        known = {lens.name: lens for lens in lenses.list_all(db, env)}
        replaced = lenses_with_an_earlier_index(db, env, now)
        queued = {lens.name: jobs.queued(db, lens.id) for lens in known.values()}
    found = {
        line.name: standing_of(
            line,
            lens,
            queued[line.name],
            past.get(lens.id),
            now,
            earlier_index=lens.id in replaced,
        )
        for line in told.lenses
        # One may have been removed between two looks.
        if (lens := known.get(line.name)) is not None
    }
    return Overview(found, told.queue, told.store or "")
