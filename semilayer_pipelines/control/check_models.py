"""Checking that there is a model of the name that a lens gives, before its first run needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders.local.hub import Hub
from semilayer_pipelines.embedders.local.model_source import ModelSource
from semilayer_pipelines.embedders.on_hub import embedder_on_hub, reranker_on_hub
from semilayer_pipelines.errors import ConfigError, ModelUnavailable, about
from semilayer_pipelines.project import Project

__all__ = ["ModelCheck", "named_model"]


@contextmanager
def named_model(key: str) -> Iterator[None]:
    """Let a model that a lens names, and that is none, be a mistake in this key of the lens."""
    with about(key):
        try:
            yield
        except ModelUnavailable as error:
            raise ConfigError(error.message, cure=error.cure) from error


@dataclass(frozen=True)
class ModelCheck:
    """Asks the hub for models; once it was silent, it is asked no more."""

    project: Project
    hub: Hub = field(default_factory=Hub)

    def unchecked(self, lens: LensConfig, known: LensConfig | None) -> str | None:
        """Ask for the models that a lens names anew and that are not on this machine.

        Return why one could not be checked, `None` when all are there. Raises `ConfigError` for a
        model that the hub does not have.
        """
        told = []
        if known is None or not lens.embedding.same_model(known.embedding):
            with named_model("embedding.model"):
                served = lens.embedding.provider == "sentence-transformers"
                of = embedder_on_hub(lens.embedding, self.project.settings.root)
                told.append(self._asked(of, served=served))
        if lens.rerank is not None and (known is None or lens.rerank != known.rerank):
            with named_model("rerank"):
                of = reranker_on_hub(lens.rerank, self.project.settings.root)
                told.append(self._asked(of, served=True))
        return next(filter(None, told), None)

    def _asked(self, source: ModelSource | None, *, served: bool) -> str | None:
        if source is None:
            return None
        service = self.project.settings.embedder_url if served else None
        try:
            why = self.hub.why_unasked(source)
        except ModelUnavailable as error:
            # The files may be on the service's machine, and the token that gives them.
            if service is None:
                raise
            return f"{error.message} The embedder service at {service} may have it."
        if why is None:
            return None
        return (
            f"The model {source.location} is not on this machine, and whether the hub has it could "
            f"not be checked: {why.rstrip('.')}. The first run needs it."
        )
