"""How an index was built, and whether without the prompts of its model, so that it finds less."""

from __future__ import annotations

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import BuiltWith, Embedder, known_build
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.generations import Generation

__all__ = ["built_with", "embedder_of", "prompts_advice", "same_vectors"]


def built_with(generation: Generation) -> BuiltWith:
    """Return how the texts of a generation are embedded."""
    return BuiltWith(generation.passage_prompt)


def embedder_of(project: Project, embedding: EmbeddingConfig, active: Generation) -> Embedder:
    """Return what embeds for an index.

    It may have another fingerprint than the index (`one_model`). The folder of a model is looked at
    anew then: it may hold another one by now than when this process looked.
    """
    of = (embedding, built_with(active))
    found = project.embedder(*of)
    if found.fingerprint == active.model_fingerprint or not embedding.same_model(
        active.config.embedding
    ):
        return found
    project.forget_embedder(*of)
    return project.embedder(*of)


def same_vectors(project: Project, embedding: EmbeddingConfig, active: Generation) -> bool:
    """Say whether an index has the vectors that a lens asks for.

    One that was built before its model's own prompt was used keeps its vectors; that a lens says
    something else than before is another matter.
    """
    if not embedding.same_model(active.config.embedding):
        return False
    asked, was = embedding.prompts.passage, active.config.embedding.prompts.passage
    if asked == was:
        return True
    return known_build(embedding, project.settings.root) == built_with(active)


def prompts_advice(project: Project, embedding: EmbeddingConfig, active: Generation) -> str | None:
    """Return what a rebuild would do for searches, `None` for nothing or where it is not known.

    Looks at the model's files on this machine, and asks nobody.
    """
    try:
        now = known_build(embedding, project.settings.root)
    except SemilayerError:
        return None
    if now is None or now == built_with(active):
        return None
    return (
        "The model has prompts of its own, and this index was built without the one for passages. "
        "A rebuild embeds every row behind it, and searches find more."
    )
