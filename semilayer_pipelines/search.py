"""Searching a lens: the text is embedded by the model that the index was built with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from semilayer_pipelines.errors import Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, lenses
from semilayer_pipelines.stores.protocol import KEY, SCORE
from semilayer_pipelines.stores.where import parse_where

__all__ = ["MAX_LIMIT", "Hit", "search"]

MAX_LIMIT = 1_000


@dataclass(frozen=True)
class Hit:
    """A row that was found: its key in the source, its cosine similarity and its fields."""

    id: str
    score: float
    fields: dict[str, object]


def search(
    project: Project,
    env: str,
    lens_name: str,
    text: str,
    *,
    limit: int = 10,
    where: Mapping[str, object] | None = None,
) -> list[Hit]:
    """Return the rows nearest in meaning to `text`, best first.

    Raises `NotFound` (no such lens), `Refused` (nothing indexed yet), `ConfigError` (`where` names
    what does not exist) and what embedder and store raise.
    """
    with project.registry.read() as db:
        lens = lenses.get(db, env, lens_name)
        active = generations.active(db, lens.id)
    if active is None:
        raise Refused(
            "Nothing is indexed yet.",
            cure=f"`semilayer resume --lens {lens_name}` starts the first ingest; "
            f"`semilayer status` shows how far it is.",
            lens=lens_name,
        )
    conditions = parse_where(where or {}, active.config.fields)
    store = project.store(env)
    if active.dimension is None or not store.exists(active.index_name):
        return []
    vector = project.embedder(active.config.embedding).embed([text]).vectors[0]
    found = store.open(active.index_name).search(
        vector.tolist(), limit=min(limit, MAX_LIMIT), where=conditions
    )
    return [
        Hit(
            id=row[KEY],
            score=row[SCORE],
            fields={name: row.get(name) for name in active.config.fields},
        )
        for row in found.iter_rows(named=True)  # at most MAX_LIMIT
    ]
