"""One lens: how it stands, what it did lately, and what was changed here since the last push."""

from __future__ import annotations

from dataclasses import dataclass

from semilayer_pipelines.config.edits import lines
from semilayer_pipelines.control.drift import Drift, drift_of
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import jobs, lenses
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import Lens
from webhook.console.pages.lenses import overview
from webhook.console.web import At, Page

__all__ = ["one_lens", "registered"]

RECENT_JOBS = 10
"""Jobs that the console shows on the page of a lens."""


@dataclass(frozen=True)
class _Story:
    jobs: list[Job]
    drift: Drift | None

    @property
    def drift_lines(self) -> list[str]:
        return lines(self.drift.edits) if self.drift else []


async def one_lens(at: At) -> Page:
    """Show how a lens stands."""
    lens = await registered(at)
    found = (await overview(at)).lenses.get(lens.name)
    if found is None:  # registered a moment ago
        at.console.kept.forget()
        found = (await overview(at)).lenses.get(lens.name)
    if found is None:
        raise NotFound(f"There is no lens {lens.name!r} any more.")
    story = await at.console.kept.get(
        ("story", at.env, lens.name), lambda: at.read(lambda: _story(at, lens))
    )
    return Page("lens.html", {"one": found, "story": story, "lens": lens})


async def registered(at: At) -> Lens:
    """Return the lens of the address as it is registered now. Raises `NotFound`."""
    project, env, name = at.console.service.project, at.env, at.lens

    def look() -> Lens:
        with project.registry.read() as db:
            return lenses.get(db, env, name)

    return await at.read(look)


def _story(at: At, lens: Lens) -> _Story:
    with at.console.service.project.registry.read() as db:
        pushed = lenses.pushed_configs(db, lens.env).get(lens.name)
        found = jobs.recent(db, lens_id=lens.id, limit=RECENT_JOBS)
    return _Story(found, drift_of(lens, pushed, None))
