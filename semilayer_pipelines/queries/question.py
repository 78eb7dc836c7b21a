"""What somebody searches by, as a vector: behind the query prompt that goes with the index."""

from __future__ import annotations

from semilayer_pipelines.ingest.open_lens import index_embedder
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.generations import Generation

__all__ = ["question_vector"]


def question_vector(project: Project, active: Generation, text: str) -> list[float]:
    """Embed what a lens is searched by. Raises what its embedder raises."""
    with project.registry.read() as db:
        embedder = index_embedder(db, project, lenses.by_id(db, active.lens_id))
    vector: list[float] = embedder.embed_queries([text]).vectors[0].tolist()
    return vector
