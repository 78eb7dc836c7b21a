"""Searching a lens: by a text, embedded by the index's own model, or by a row that it holds.

A lens with tenants is searched one tenant at a time, whatever the store: the caller has to name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import polars as pl

from semilayer_pipelines.errors import IndexDamaged, NotFound, Refused
from semilayer_pipelines.http.contract import MAX_RESULTS
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, lenses
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.stores.chunks.protocol import CHUNK
from semilayer_pipelines.stores.protocol import KEY, SCORE, VECTOR, Index
from semilayer_pipelines.stores.where import Condition, Operator, parse_where, tenant_condition

__all__ = ["Chunk", "Hit", "search", "similar"]


@dataclass(frozen=True)
class Chunk:
    """The part of a long row that was found: the characters of `field` from `start` to `end`."""

    text: str
    field: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A row that was found: its key in the source, its cosine similarity and its fields.

    `chunk` is the part of a long row that was found, `None` for a row that was not cut.
    """

    id: str
    score: float
    fields: dict[str, object]
    chunk: Chunk | None = None


def search(
    project: Project,
    lens: str,
    text: str,
    *,
    env: str | None = None,
    limit: int = 10,
    where: Mapping[str, object] | None = None,
) -> list[Hit]:
    """Return the rows nearest in meaning to `text`, best first.

    `env` is the environment, by default the project's. `where` has conditions on fields, such as
    `{"category": "shoes", "price": {"$lt": 50}}`.

    Raises `NotFound` (no such lens), `Refused` (nothing indexed yet), `ConfigError` (`where` names
    what does not exist, or no tenant) and what embedder and store raise, `IndexDamaged` for one.
    """
    env = env or project.settings.env
    active = _active(project, env, lens)
    conditions = parse_where(where or {}, active.config.fields)
    if active.config.tenant is not None:
        tenant_condition(conditions, active.config.tenant)
    with _said_of(lens):
        index = _index(project, env, active)
        if index is None:
            return []
        vector = project.embedder(active.config.embedding).embed([text]).vectors[0]
        found = index.search(vector.tolist(), limit=min(limit, MAX_RESULTS), where=conditions)
    return _hits(found, active)


def similar(
    project: Project,
    lens: str,
    id: str,
    *,
    env: str | None = None,
    limit: int = 10,
    where: Mapping[str, object] | None = None,
) -> list[Hit]:
    """Return the rows nearest in meaning to the row `id`, best first and without itself.

    They are of the row's own tenant: one that `where` names has to be that. Raises like `search`,
    and `NotFound` when the row is not in the index or is another tenant's. No model is needed.
    """
    env = env or project.settings.env
    active = _active(project, env, lens)
    conditions = parse_where(where or {}, active.config.fields)
    with _said_of(lens):
        index = _index(project, env, active)
        row = index.get(id) if index is not None else None
    tenant = active.config.tenant
    if row is not None and tenant is not None:
        if all(condition.field != tenant for condition in conditions):
            conditions = (
                *conditions,
                Condition(tenant, Operator.EQ, cast("str | int", row[tenant])),
            )
        elif tenant_condition(conditions, tenant).value != row[tenant]:
            row = None
    if index is None or row is None:
        raise NotFound(
            f"There is no row {id!r} in its index.",
            cure="It may not be indexed yet, or its id is another text.",
            lens=lens,
        )
    vector = [float(number) for number in cast("list[float]", row[VECTOR])]
    limit = min(limit, MAX_RESULTS)
    # One more, because the row is the nearest to itself, unless `where` leaves it out.
    with _said_of(lens):
        found = index.search(vector, limit=limit + 1, where=conditions)
    return _hits(found.filter(pl.col(KEY) != id).head(limit), active)


def _active(project: Project, env: str, lens_name: str) -> Generation:
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
    return active


def _index(project: Project, env: str, active: Generation) -> Index | None:
    """Return the index, `None` when nothing was ever written to it."""
    if active.dimension is None:
        return None
    return written_index(project.registry, project.store(env), active)


@contextmanager
def _said_of(lens_name: str) -> Iterator[None]:
    """Let the error of a damaged index name the lens, which the store does not know."""
    try:
        yield
    except IndexDamaged as error:
        error.lens = lens_name
        raise


def _hits(found: pl.DataFrame, active: Generation) -> list[Hit]:
    return [
        Hit(
            id=row[KEY],
            score=row[SCORE],
            fields={name: row.get(name) for name in active.config.fields},
            chunk=None if row[CHUNK] is None else Chunk(**row[CHUNK]),
        )
        for row in found.iter_rows(named=True)  # at most MAX_RESULTS
    ]
