"""What a rebuild of a lens would take, told from the index and from what was measured before.

Nothing is read from the source and nothing is embedded, so that it can be told at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from semilayer_pipelines.config.models import Rebuild
from semilayer_pipelines.embedders.rate import known_rate
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.built_with import same_vectors
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, jobs, lenses
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["RebuildPrice", "rebuild_price"]

_MILLION = 1_000_000


@dataclass(frozen=True)
class RebuildPrice:
    """What a rebuild takes; `None` where nobody can say.

    `reuses`: the vectors of texts that did not change are taken over. `texts` are those that are
    embedded all the same, `tokens` theirs, and `money` what these cost, in the currency of the
    lens's price. `seconds` are those of the last whole ingest, or of embedding with the new model.
    `gap`: searches find nothing until it is done.
    """

    rows: int | None
    vectors: int | None
    reuses: bool
    texts: int | None
    tokens: int | None
    money: float | None
    seconds: float | None
    gap: bool


def rebuild_price(project: Project, env: str, name: str) -> RebuildPrice:
    """Return what a rebuild of a lens would take. Raises `NotFound` and what the store raises."""
    with project.registry.read() as db:
        lens = lenses.get(db, env, name)
        active = generations.active(db, lens.id)
        last = jobs.last_completed(db, lens.id, [Mode.FULL])
    rows, vectors = _size(project, lens, active)
    gap = lens.config.rebuild is Rebuild.IN_PLACE
    # What is dropped first has no vectors to take over.
    reuses = active is not None and not gap and same_vectors(project, lens.config.embedding, active)
    texts = 0 if reuses else vectors
    tokens = _tokens(texts, last)
    price = lens.config.embedding.price_per_million_tokens
    return RebuildPrice(
        rows=rows,
        vectors=vectors,
        reuses=reuses,
        texts=texts,
        tokens=tokens,
        money=None if price is None or tokens is None else tokens * price / _MILLION,
        seconds=_seconds(last) if reuses else _embedding_seconds(project, lens, texts),
        gap=gap,
    )


def _size(project: Project, lens: Lens, active: Generation | None) -> tuple[int | None, int | None]:
    if active is None:
        return None, None
    index = written_index(project.registry, project.store(lens.env), active)
    return (index.count(), index.vectors()) if index else (0, 0)


def _tokens(texts: int | None, last: Job | None) -> int | None:
    if texts is None:
        return None
    if not texts:
        return 0
    if last is None or not last.counts.tokens or not last.counts.embedded:
        return None
    return round(texts * last.counts.tokens / last.counts.embedded)


def _seconds(last: Job | None) -> float | None:
    if last is None or last.started_at is None or last.ended_at is None:
        return None
    return (last.ended_at - last.started_at).total_seconds()


def _embedding_seconds(project: Project, lens: Lens, texts: int | None) -> float | None:
    if texts is None:
        return None
    try:
        rate = known_rate(project.embedder(lens.config.embedding).fingerprint)
    except SemilayerError:
        return None
    return texts / rate.texts_per_second if rate and rate.texts_per_second else None
