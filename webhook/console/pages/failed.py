"""The rows of a lens that were set aside, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import failed_rows
from semilayer_pipelines.registry.failed_rows import FailedRow
from semilayer_pipelines.registry.lenses import Lens
from webhook.console.pages.lens import registered
from webhook.console.web import At, Page

__all__ = ["failed"]

FAILED_A_PAGE = 50
"""Failed rows on one page of the console."""


@dataclass(frozen=True)
class _Found:
    rows: list[FailedRow]
    total: int
    old: Mapping[str, datetime] | None


async def failed(at: At) -> Page:
    """Show a page of them."""
    lens, project = await registered(at), at.console.service.project
    number = min(at.page_number, failed_rows.KEPT // FAILED_A_PAGE)
    skip = (number - 1) * FAILED_A_PAGE
    found = await at.slow(lambda: _look(project, lens, skip))
    return Page(
        "failed.html",
        {
            "lens": lens,
            "found": found,
            "number": number,
            "last": max(1, -(-found.total // FAILED_A_PAGE)),
        },
    )


def _look(project: Project, lens: Lens, skip: int) -> _Found:
    with project.registry.read() as db:
        rows = failed_rows.list_all(db, lens.id, FAILED_A_PAGE, skip=skip)
        total = failed_rows.count(db, lens.id)
    if not rows:
        return _Found([], total, {})
    # Loads a store.
    from semilayer_pipelines.queries.old_vectors import old_vectors

    return _Found(rows, total, old_vectors(project, lens, rows))
