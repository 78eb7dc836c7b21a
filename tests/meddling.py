"""A project in which something happens, or breaks, in the middle of the work. No patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from semilayer_pipelines.bridges.protocol import Bridge, LookedUp, Selection
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.project import Project
from semilayer_pipelines.stores.chunks.protocol import RowStore
from semilayer_pipelines.stores.protocol import Index, IndexSchema, Store


def _nothing(_: Sequence[str]) -> None:
    return None


def _nothing_about(_: str) -> None:
    return None


@dataclass(frozen=True)
class Meddled(Project):
    """Calls `during` with the texts of every embedder call, between reading a page and writing.

    Calls `before` and `after` with the verb of everything that is done to an index, and `looking`
    before rows are looked up in the source by their ids.
    """

    during: Callable[[Sequence[str]], None] = field(default=_nothing)
    before: Callable[[str], None] = field(default=_nothing_about)
    after: Callable[[str], None] = field(default=_nothing_about)
    looking: Callable[[Sequence[str]], None] = field(default=_nothing)
    fingerprint: str | None = None

    @classmethod
    def of(
        cls,
        project: Project,
        during: Callable[[Sequence[str]], None] = _nothing,
        *,
        before: Callable[[str], None] = _nothing_about,
        after: Callable[[str], None] = _nothing_about,
        looking: Callable[[Sequence[str]], None] = _nothing,
        later: timedelta = timedelta(0),
        fingerprint: str | None = None,
    ) -> Meddled:
        """Meddle with a project; its clock is ahead by `later`, its model has this fingerprint."""
        clock = project.clock
        return cls(
            project.settings,
            project.environ,
            lambda: clock() + later,
            during,
            before,
            after,
            looking,
            fingerprint,
        )

    def embedder(self, config: EmbeddingConfig, built: BuiltWith | None = None) -> Embedder:
        return _Meddled(super().embedder(config, built), self.during, self.fingerprint)

    def store(self, env: str) -> RowStore:
        return cast(RowStore, _MeddledStore(super().store(env), self.before, self.after))

    def bridge(self, name: str, config: SourceConfig) -> Bridge:
        return cast(Bridge, _MeddledBridge(super().bridge(name, config), self.looking))


class _Meddled:
    def __init__(
        self, inner: Embedder, during: Callable[[Sequence[str]], None], fingerprint: str | None
    ) -> None:
        self._inner = inner
        self._during = during
        self.fingerprint = fingerprint or inner.fingerprint

    def embed(self, texts: Sequence[str]) -> Embedded:
        self._during(texts)
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        return self._inner.reading()


class _MeddledStore:
    def __init__(
        self, inner: Store, before: Callable[[str], None], after: Callable[[str], None]
    ) -> None:
        self._inner, self._before, self._after = inner, before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def find(self, name: str) -> Any:
        index = self._inner.find(name)
        return index and _MeddledIndex(index, self._before, self._after)

    def open(self, name: str) -> Any:
        return _MeddledIndex(self._inner.open(name), self._before, self._after)

    def create(self, name: str, schema: IndexSchema) -> Any:
        return _MeddledIndex(self._inner.create(name, schema), self._before, self._after)

    def drop(self, name: str) -> None:
        self._before("drop")
        self._inner.drop(name)
        self._after("drop")


class _MeddledIndex:
    def __init__(
        self, inner: Index, before: Callable[[str], None], after: Callable[[str], None]
    ) -> None:
        self._inner, self._before, self._after = inner, before, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def told(*args: Any, **options: Any) -> Any:
            self._before(name)
            result = found(*args, **options)
            self._after(name)
            return result

        return told


class _MeddledBridge:
    def __init__(self, inner: Bridge, looking: Callable[[Sequence[str]], None]) -> None:
        self._inner, self._looking = inner, looking

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read_rows(self, selection: Selection, ids: Sequence[str]) -> LookedUp:
        self._looking(ids)
        return self._inner.read_rows(selection, ids)
