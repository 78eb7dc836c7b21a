"""A project in which something happens, or breaks, in the middle of the work. No patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from semilayer_pipelines.config.models import EmbeddingConfig
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.project import Project


def _nothing(_: Sequence[str]) -> None:
    return None


@dataclass(frozen=True)
class Meddled(Project):
    """Calls `during` with the texts of every embedder call, between reading a page and writing."""

    during: Callable[[Sequence[str]], None] = field(default=_nothing)

    @classmethod
    def of(cls, project: Project, during: Callable[[Sequence[str]], None]) -> Meddled:
        return cls(project.settings, project.environ, project.clock, during)

    def embedder(self, config: EmbeddingConfig) -> Embedder:
        return _Meddled(super().embedder(config), self.during)


class _Meddled:
    def __init__(self, inner: Embedder, during: Callable[[Sequence[str]], None]) -> None:
        self._inner = inner
        self._during = during

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    def embed(self, texts: Sequence[str]) -> Embedded:
        self._during(texts)
        return self._inner.embed(texts)
