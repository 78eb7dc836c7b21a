"""What somebody searches by, as a vector: behind the query prompt that goes with the index."""

from __future__ import annotations

from semilayer_pipelines.ingest.built_with import embedder_of
from semilayer_pipelines.one_model import require_model
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["embedded_question", "question_vector"]


def question_vector(project: Project, active: Generation, text: str) -> list[float]:
    """Embed what a lens is searched by.

    Raises what its embedder raises, and `DimensionChanged` where the index is of another model.
    """
    with project.registry.read() as db:
        lens = in_force(db, lenses.by_id(db, active.lens_id))
    return embedded_question(project, lens, active, text)


def embedded_question(project: Project, lens: Lens, active: Generation, text: str) -> list[float]:
    """Do the same for a lens as it is `in_force` beside this generation."""
    embedder = embedder_of(project, lens.config.embedding, active)
    require_model(active.model_fingerprint, embedder.fingerprint, lens=lens.name)
    vector: list[float] = embedder.embed_queries([text]).vectors[0].tolist()
    return vector
