"""A process that can be stopped at any step of its work, with or without its clean-up.

Every call to the registry, the source, the embedder and the index is a step. A process that died
does nothing more: its transactions roll back and its `finally` blocks find the registry gone, while
its locks are given back, as the kernel does for a killed one. Real parts throughout, no patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from sqlalchemy import Connection

from semilayer_pipelines.bridges.protocol import Bridge, Selection, SourcePage, Window
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.project import Clock, Project, Settings
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.stores.chunks.protocol import RowStore
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.protocol import Index, IndexSchema, Store

__all__ = ["Died", "Life", "dies_at", "mortal"]

Step = Callable[[str, "Life"], None]


class Died(BaseException):
    """The process is gone; only a test catches this."""


@dataclass
class Life:
    """What becomes of one process: `step` is told of each step and may stop it there.

    `locks` is how many index locks it holds: whoever lets another process work in between has to
    wait until there is none.
    """

    step: Step
    dead: bool = False
    locks: int = 0
    steps: list[str] = field(default_factory=list)

    def at(self, what: str) -> None:
        if self.dead:
            raise Died
        self.steps.append(what)
        self.step(what, self)

    def die(self) -> None:
        self.dead = True
        raise Died


def _every_step(_: str) -> bool:
    return True


def dies_at(number: int, counts: Callable[[str], bool] = _every_step) -> Life:
    """Return a process that dies at its step of this number, from 1, of those that count."""
    seen = 0

    def step(what: str, life: Life) -> None:
        nonlocal seen
        seen += counts(what)
        if seen == number:
            life.die()

    return Life(step)


def mortal(project: Project, life: Life, *, page_rows: int = 10_000) -> Project:
    """Return the project as a process of its own, with pages of at most `page_rows` rows."""
    return _Mortal(
        project.settings, project.environ, project.clock, project.registry, life, page_rows
    )


class _Mortal(Project):
    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        clock: Clock,
        registry: Registry,
        life: Life,
        page_rows: int,
    ) -> None:
        super().__init__(settings, environ, clock)
        object.__setattr__(self, "_shared", registry)
        object.__setattr__(self, "_life", life)
        object.__setattr__(self, "_page_rows", page_rows)

    @cached_property
    def registry(self) -> Registry:
        return cast(Registry, _MortalRegistry(self._shared, self._life))  # type: ignore[attr-defined]

    def store(self, env: str) -> RowStore:
        # Inside: rows and their chunks are written in several steps.
        whole = cast(ChunkedStore, super().store(env))
        return ChunkedStore(cast(Store, _MortalStore(whole.inner, self._life)))  # type: ignore[attr-defined]

    def bridge(self, name: str, config: SourceConfig) -> Bridge:
        inner = super().bridge(name, config)
        return cast(Bridge, _MortalBridge(inner, self._life, self._page_rows))  # type: ignore[attr-defined]

    def embedder(self, config: EmbeddingConfig, built: BuiltWith | None = None) -> Embedder:
        return _MortalEmbedder(super().embedder(config, built), self._life)  # type: ignore[attr-defined]


class _MortalRegistry:
    def __init__(self, inner: Registry, life: Life) -> None:
        self._inner, self._life = inner, life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[Connection]:
        self._life.at("registry.begin")
        with self._inner.begin(durable=durable) as db:
            yield db
        self._life.at("registry.committed")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._life.at("registry.read")
        with self._inner.read() as db:
            yield db

    def transact(self, action: Callable[[Connection], Any], *, durable: bool = False) -> Any:
        self._life.at("registry.begin")
        result = self._inner.transact(action, durable=durable)
        self._life.at("registry.committed")
        return result


class _MortalEmbedder:
    def __init__(self, inner: Embedder, life: Life) -> None:
        self._inner, self._life = inner, life
        self.fingerprint = inner.fingerprint

    @property
    def batches(self) -> Any:
        return _Told(self._inner.batches, "provider", self._life)  # type: ignore[attr-defined]

    def embed(self, texts: Sequence[str]) -> Embedded:
        self._life.at("embedder.embed")
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        return self._inner.reading()


class _MortalBridge:
    def __init__(self, inner: Bridge, life: Life, page_rows: int) -> None:
        self._inner, self._life, self._page_rows = inner, life, page_rows

    def __getattr__(self, name: str) -> Any:
        return _told(self._inner, name, f"source.{name}", self._life, silent=("close",))

    def read_page(self, selection: Selection, window: Window, limit: int) -> SourcePage:
        self._life.at("source.read_page")
        return self._inner.read_page(selection, window, min(limit, self._page_rows))

    def read_changed(
        self, selection: Selection, tracked: str, cursor: str | None, limit: int, **ends: Any
    ) -> SourcePage:
        self._life.at("source.read_changed")
        rows = min(limit, self._page_rows)
        return self._inner.read_changed(selection, tracked, cursor, rows, **ends)


class _MortalStore:
    def __init__(self, inner: Store, life: Life) -> None:
        self._inner, self._life = inner, life

    def __getattr__(self, name: str) -> Any:
        return _told(self._inner, name, f"store.{name}", self._life)

    def find(self, name: str) -> Index | None:
        self._life.at("store.find")
        index = self._inner.find(name)
        return None if index is None else cast(Index, _MortalIndex(index, self._life))

    def open(self, name: str) -> Index:
        return cast(Index, _MortalIndex(self._inner.open(name), self._life))

    def create(self, name: str, schema: IndexSchema) -> Index:
        self._life.at("store.create")
        return cast(Index, _MortalIndex(self._inner.create(name, schema), self._life))


class _MortalIndex:
    def __init__(self, inner: Index, life: Life) -> None:
        self._inner, self._life = inner, life

    def __getattr__(self, name: str) -> Any:
        return _told(self._inner, name, f"index.{name}", self._life)

    def lock(self) -> AbstractContextManager[None]:
        @contextmanager
        def held() -> Iterator[None]:
            self._life.at("index.lock")
            with self._inner.lock():
                self._life.locks += 1
                try:
                    yield
                finally:
                    self._life.locks -= 1

        return held()


class _Told:
    def __init__(self, inner: object, name: str, life: Life) -> None:
        self._inner, self._name, self._life = inner, name, life

    def __getattr__(self, name: str) -> Any:
        return _told(self._inner, name, f"{self._name}.{name}", self._life, silent=("line",))


def _told(inner: object, name: str, what: str, life: Life, *, silent: Sequence[str] = ()) -> Any:
    found = getattr(inner, name)
    if not callable(found) or name in silent:
        return found

    def told(*args: Any, **options: Any) -> Any:
        life.at(what)
        result = found(*args, **options)
        life.at(f"{what}.done")
        return result

    return told
