"""What the index still has of rows that were set aside: since when, and for how long.

The index is asked, and not the registry: a rebuild or a delete takes such a vector out without a
word to the list of failed rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations
from semilayer_pipelines.registry.failed_rows import FailedRow
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY

__all__ = ["old_vectors"]


def old_vectors(
    project: Project, lens: Lens, rows: Sequence[FailedRow]
) -> Mapping[str, datetime] | None:
    """Return when the rows that still have a vector were indexed, by their keys.

    `None` when the index cannot be asked: that keeps nobody from seeing the list.
    """
    with project.registry.read() as db:
        active = generations.active(db, lens.id)
    if active is None or not rows:
        return {}
    try:
        index = written_index(project.registry, project.store(lens.env), active)
        if index is None:
            return {}
        found = index.fetch([row.key for row in rows], vectors=False, also=(INDEXED_AT,))
    except SemilayerError:
        return None
    # The older one, should a killed run have left an object in the old tenant too.
    return dict(found.sort(INDEXED_AT, descending=True).select(KEY, INDEXED_AT).iter_rows())
