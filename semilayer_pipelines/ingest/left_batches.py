"""Batches that no job waits for any more: their full ingest ended, or their lens was changed.

They are cancelled, so that nobody pays for what nobody will use, and their files deleted. It is
done when a full ingest ends and every hour (`retention`), and fails nothing.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from semilayer_pipelines.errors import EmbedderUnavailable, SemilayerError
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import batches
from semilayer_pipelines.registry.batches import Batch

__all__ = ["KEPT_BY_PROVIDER", "drop_left_over"]

KEPT_BY_PROVIDER = timedelta(days=30)
"""A batch that cannot be cancelled or deleted is tried again for so long; then it is forgotten."""

logger = logging.getLogger(__name__)


def drop_left_over(project: Project, lens_id: int | None = None) -> None:
    """Cancel the batches, of one lens or of all, that no job waits for; delete those that ended."""
    with project.registry.read() as db:
        left = batches.left_over(db, lens_id)
    silent = set[str | None]()
    for one in left:
        if one.embedding.url in silent:
            continue  # each is waited for once
        gone = project.clock() - one.created_at > KEPT_BY_PROVIDER
        try:
            gone = _dropped(project, one) or gone
        except SemilayerError as error:
            logger.warning("Batch %s is left at the provider: %s", one.remote or one.id, error)
            if isinstance(error, EmbedderUnavailable):
                silent.add(one.embedding.url)
        if gone:
            with project.registry.begin() as db:
                batches.forget(db, one.id)


def _dropped(project: Project, one: Batch) -> bool:
    """Cancel a batch or, once it has ended, delete its files; say whether nothing is left."""
    from semilayer_pipelines.embedders.batch_api import batches_of

    api = batches_of(project.embedder(one.embedding))
    there = api.get(one.remote) if one.remote else api.find(one.id)
    if there is not None and not there.ended:
        api.cancel(there)
        logger.info("Batch %s of %s is cancelled: nobody waits for it.", there.id, api.shown)
        with project.registry.begin() as db:
            batches.give_up(db, one.id)
        return False
    file = api.find_file(one.id) if there is None else None
    for each in there.files if there is not None else filter(None, [file]):
        api.delete(each)
    return True
