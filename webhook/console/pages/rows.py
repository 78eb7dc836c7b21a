"""A row from its source to what a search finds of it, beside the fields of its lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.config.transforms import Custom
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.project import Project
from webhook.console.pages.lens import registered
from webhook.console.web import At, Page
from webhook.service.problems import from_error

if TYPE_CHECKING:
    # Loads Polars, so it is imported when a row is looked at.
    from semilayer_pipelines.queries.explain import Explanation

__all__ = ["live_row", "row_page", "steps_of"]

MODEL_SECONDS = 60.0
"""How long a page of the console waits for a model, which may have to be loaded."""

SHOWN_CHUNKS = 50
"""Chunks of a row that the console shows."""


@dataclass(frozen=True)
class Looked:
    """A row, and the address of the next one (empty for the last); or no row."""

    told: Explanation | None
    cursor: str


async def row_page(at: At) -> Page:
    """Show the fields of a lens; the row beside them is loaded by itself."""
    lens = await registered(at)
    return Page("row.html", {"lens": lens, "id": at.asked("id"), "query": at.request.url.query})


async def live_row(at: At) -> Page:
    """Show a row and what becomes of it; a source that is away is told in its place."""
    lens, id = await registered(at), at.asked("id")
    project, env = at.console.service.project, at.env
    data = {"lens": lens, "id": id, "steps": steps_of, "shown_chunks": SHOWN_CHUNKS}
    try:
        looked = await at.slow(
            lambda: _look(project, env, lens.name, id, at.asked("after") or None),
            seconds=MODEL_SECONDS,
        )
    except SemilayerError as error:
        problem = from_error(error)
        return Page("live_row.html", data | {"looked": None, "problem": problem})
    return Page("live_row.html", data | {"looked": looked, "problem": None})


def _look(project: Project, env: str, name: str, id: str, after: str | None) -> Looked:
    # These load Polars and a bridge, which the webhook must not need when it starts.
    from semilayer_pipelines.queries.any_row import any_row
    from semilayer_pipelines.queries.explain import explain

    cursor = ""
    if not id:
        found = any_row(project, env, name, after)
        if found is None:
            return Looked(None, "")
        id, cursor = found.id, found.cursor or ""
    return Looked(explain(project, env, name, id), cursor)


def steps_of(field: FieldConfig) -> str:
    """Return what is done to a field's value, in order; empty for nothing."""
    return ", then ".join(
        step.function if isinstance(step, Custom) else step.type for step in field.transform
    )
