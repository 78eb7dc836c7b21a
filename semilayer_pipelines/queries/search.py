"""Searching a lens: by the meaning of a text, by its words or by both, or by a row that it holds.

The text is embedded by the index's own model, and only where meaning is asked for. A lens with
tenants is searched one tenant at a time, whatever the store: the caller has to name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import polars as pl

from semilayer_pipelines.errors import ConfigError, IndexDamaged, NotFound, Refused, nearest
from semilayer_pipelines.http.contract import SearchMode
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.mapping.keywords import has_keywords
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.asked import (
    check_least_score,
    check_limit,
    check_row_id,
    check_text,
)
from semilayer_pipelines.queries.chunk_texts import chunk_texts
from semilayer_pipelines.queries.hybrid import BM25, SIMILARITY, by_words, hybrid
from semilayer_pipelines.queries.question import embedded_question
from semilayer_pipelines.queries.rerank import reranking
from semilayer_pipelines.registry import generations, lenses
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.stores.chunks.protocol import CHUNK
from semilayer_pipelines.stores.protocol import KEY, SCORE, VECTOR, Index
from semilayer_pipelines.stores.where import Condition, Operator, parse_where, tenant_condition

__all__ = ["Chunk", "Found", "Hit", "find", "search", "similar"]


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
    """A row that was found: its key in the source, its score and its fields.

    `score` is a cosine in mode `semantic`. In `keyword` it is BM25's, to which the best is added
    for a row that the query names. In `hybrid` it is a share of the best possible rank, from 0 to
    1. Where the lens has a reranker, it is that one's number. `similarity` (cosine) and `bm25` tell
    what each half said, `None` where it found no such row. `chunk` is the part of a long row that
    was found by its meaning, `None` for a row that was not cut and for one found by words alone.
    """

    id: str
    score: float
    fields: dict[str, object]
    similarity: float | None = None
    bm25: float | None = None
    chunk: Chunk | None = None


@dataclass(frozen=True)
class Found:
    """The rows that a search found, the best first, and how it looked for them."""

    mode: SearchMode
    hits: list[Hit]


def search(
    project: Project,
    lens: str,
    text: str,
    *,
    env: str | None = None,
    limit: int = 10,
    where: Mapping[str, object] | None = None,
    mode: SearchMode | str | None = None,
    min_score: float | None = None,
) -> list[Hit]:
    """Return the rows that answer `text`, best first.

    `env` is the environment, by default the project's. `where` has conditions on fields, such as
    `{"category": "shoes", "price": {"$lt": 50}}`. `mode` is `hybrid` by default where the index has
    keywords, else `semantic`. Rows below `min_score` are left out; see `Hit` for what a score is.

    Raises `NotFound` (no such lens), `Refused` (nothing indexed yet, or no keywords), `ConfigError`
    (`where` names what does not exist, or no tenant; an unknown mode; an empty text; a `limit`
    below 1 or above 1,000) and what embedder and store raise, `IndexDamaged` for one.
    """
    return find(
        project, lens, text, env=env, limit=limit, where=where, mode=mode, min_score=min_score
    ).hits


def find(
    project: Project,
    lens: str,
    text: str,
    *,
    env: str | None = None,
    limit: int = 10,
    where: Mapping[str, object] | None = None,
    mode: SearchMode | str | None = None,
    min_score: float | None = None,
) -> Found:
    """Return what `search` returns, with the mode that was used; raises as it does."""
    check_text(text)
    check_limit(limit)
    check_least_score(min_score)
    env = env or project.settings.env
    used, active = _in_use(project, env, lens)
    chosen = _mode(mode, active, lens)
    conditions = parse_where(where or {}, active.config.fields)
    if active.config.tenant is not None:
        tenant_condition(conditions, active.config.tenant)

    def by_meaning(index: Index, most: int) -> pl.DataFrame:
        vector = embedded_question(project, used, active, text)
        return index.search(vector, limit=most, where=conditions)

    with _said_of(lens):
        index = _index(project, env, active)
        if index is None:
            return Found(chosen, [])
        second = reranking(project, used, active)
        most = second.candidates(limit)
        match chosen:
            case SearchMode.SEMANTIC:
                found = by_meaning(index, most).with_columns(pl.col(SCORE).alias(SIMILARITY))
            case SearchMode.KEYWORD:
                found = by_words(index, text, limit=most, where=conditions)
            case SearchMode.HYBRID:
                found = hybrid(index, text, by_meaning, limit=most, where=conditions)
    best = second.ranked(text, found, limit)
    if min_score is not None:
        best = best.filter(pl.col(SCORE) >= min_score)
    return Found(chosen, _hits(best, active))


def _mode(mode: SearchMode | str | None, active: Generation, lens_name: str) -> SearchMode:
    """Return how to search an index.

    Raises `ConfigError` for a mode that does not exist, `Refused` for one that needs keywords where
    the index has none.
    """
    keywords = has_keywords(active.config.fields)
    if mode is None:
        return SearchMode.HYBRID if keywords else SearchMode.SEMANTIC
    if mode not in list(SearchMode):
        raise ConfigError(
            f"There is no mode {mode!r}{nearest(str(mode), list(SearchMode))}.",
            cure=f"Modes: {', '.join(SearchMode)}.",
        )
    if mode != SearchMode.SEMANTIC and not keywords:
        raise Refused(
            f"Mode {str(mode)!r} needs keywords, and the index has none.",
            cure="Give a field of the lens `keyword: true` (or `exact`) and push; then "
            f"`semilayer resume --lens {lens_name}` rebuilds the index and takes its vectors over.",
            lens=lens_name,
        )
    return SearchMode(mode)


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
    `ConfigError` for an `id` that is no text, and `NotFound` when the row is not in the index or is
    another tenant's. No model is needed.
    """
    check_row_id(id)
    check_limit(limit)
    env = env or project.settings.env
    _, active = _in_use(project, env, lens)
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
    # One more, because the row is the nearest to itself, unless `where` leaves it out.
    with _said_of(lens):
        found = index.search(vector, limit=limit + 1, where=conditions)
    others = found.filter(pl.col(KEY) != id).head(limit)
    return _hits(others.with_columns(pl.col(SCORE).alias(SIMILARITY)), active)


def _in_use(project: Project, env: str, lens_name: str) -> tuple[Lens, Generation]:
    """Return a lens as it is in force, and its index, both as of one moment.

    A rebuild with another model may be published between two.
    """
    with project.registry.read() as db:
        lens = in_force(db, lenses.get(db, env, lens_name))
        active = generations.active(db, lens.id)
    if active is None:
        raise Refused(
            "Nothing is indexed yet.",
            cure=f"`semilayer resume --lens {lens_name}` starts the first ingest; "
            f"`semilayer status` shows how far it is.",
            lens=lens_name,
        )
    return lens, active


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
            similarity=row.get(SIMILARITY),
            bm25=row.get(BM25),
            chunk=None if place is None else Chunk(text, **place),
        )
        # at most 1,000
        for row, place, text in zip(
            found.iter_rows(named=True), found[CHUNK], chunk_texts(found), strict=True
        )
    ]
