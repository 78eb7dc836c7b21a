"""What a smart sync would do and take, without doing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from semilayer_pipelines.errors import DimensionChanged, FieldsChanged
from semilayer_pipelines.ingest.guard import Guard
from semilayer_pipelines.ingest.open_lens import index_embedder
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.closer_look import Telling
from semilayer_pipelines.queries.estimate import Estimate, estimate
from semilayer_pipelines.queries.findings import Audit, Kind
from semilayer_pipelines.queries.state import require_syncable
from semilayer_pipelines.registry.lenses import Needs

__all__ = ["DryRun", "dry_run"]


@dataclass(frozen=True)
class DryRun:
    """What a sync would find, what embedding it would take, and how many deletes pass unasked.

    `seconds` is for the whole sync: comparing took as long as it took here.
    """

    audit: Audit
    embedding: Estimate
    guard_limit: int

    @property
    def seconds(self) -> float:
        """Seconds that the sync would take, without Dagster's start and loading a model."""
        return self.audit.seconds + self.embedding.seconds

    @property
    def deletes(self) -> int:
        """How many rows of the index it would delete."""
        return self.audit.found[Kind.ORPHAN].count

    @property
    def guarded(self) -> bool:
        """Say whether the guard would stop it (invariant 5)."""
        return self.deletes > self.guard_limit


def dry_run(
    project: Project, env: str, name: str, report: Callable[[int], None] = lambda _: None
) -> DryRun:
    """Compare, and embed a few texts to see what they take; writes nothing.

    Raises `NotFound`, `Refused` for a lens that cannot be synced, and what bridge, store and
    embedder raise. Where only a rebuild helps it raises `IndexDamaged`, `FieldsChanged` (columns
    have types that the index cannot hold) or `DimensionChanged` (the model changed under its name).
    """
    with project.registry.read() as db:
        lens = require_syncable(db, env, name)
    found = audit(project, lens, Telling(report))
    with project.registry.read() as db:
        embedder = index_embedder(db, project, lens)
    if found.damage is not None:
        found.damage.lens = name
        raise found.damage
    if found.outgrown:
        raise FieldsChanged(found.problems[0], lens=name)
    if found.rebuild and lens.needs is not Needs.REBUILD:
        raise DimensionChanged(
            found.problems[0], cure="Rebuild the lens: `semilayer push --rebuild`.", lens=name
        )
    return DryRun(
        audit=found,
        embedding=estimate(
            embedder,
            found.to_embed,
            lens.config.embedding.price_per_million_tokens,
        ),
        guard_limit=Guard(lens.config.guard).limit(found.objects, found.rows),
    )
