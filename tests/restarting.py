"""A store whose server can crash, and then holds rows that no search finds. The rest is real.

It does what a real server does (see `Index.last_written`): rows that were written last are in no
vector index after a crash, and an equal vector that is written over them changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast

import polars as pl

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.project import Clock, Project, Settings
from semilayer_pipelines.stores.chunks.protocol import RowStore
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, VECTOR, Index, IndexSchema, Store

__all__ = ["Served", "Server"]


@dataclass
class Server:
    """What the processes of a test share: which rows are hidden, and what they did.

    `tail` rows before a time are told with those after it. `before` is called with each verb.
    """

    start: int | None = 1
    told: str = ""  # what its start is told with, as `OWN_CONNECTION`
    tail: int = 50
    away: bool = False
    before: Callable[[str], None] = lambda _: None
    verbs: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    hidden: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    written: defaultdict[str, dict[str, datetime]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def crash(self, rows: int = 24) -> None:
        """Die and come up again; of every index the last `rows` that were written are hidden."""
        assert self.start is not None
        self.start += 1
        for index, times in self.written.items():
            self.hidden[index] |= {*list(times)[-rows:]}

    @property
    def all_hidden(self) -> list[str]:
        return sorted(key for keys in self.hidden.values() for key in keys)


class Served(Project):
    """A project whose store runs on such a server; it tells the server what it embeds."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], clock: Clock, server: Server
    ) -> None:
        super().__init__(settings, environ, clock)
        object.__setattr__(self, "server", server)

    @classmethod
    def of(cls, project: Project, server: Server) -> Served:
        return cls(project.settings, project.environ, project.clock, server)

    def store(self, env: str) -> RowStore:
        return cast(RowStore, _Store(super().store(env), self.server))  # type: ignore[attr-defined]

    def embedder(self, config: EmbeddingConfig, built: BuiltWith | None = None) -> Embedder:
        return _Embedder(super().embedder(config, built), self.server)  # type: ignore[attr-defined]


class _Embedder:
    def __init__(self, inner: Embedder, server: Server) -> None:
        self._inner, self._server = inner, server
        self.fingerprint = inner.fingerprint

    def embed(self, texts: Sequence[str]) -> Embedded:
        self._server.texts += texts
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        return self._inner.reading()


class _Store:
    def __init__(self, inner: Store, server: Server) -> None:
        self._inner, self._server = inner, server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def find(self, name: str) -> Any:
        index = self._inner.find(name)
        return index and _Index(index, self._server)

    def open(self, name: str) -> Any:
        return _Index(self._inner.open(name), self._server)

    def create(self, name: str, schema: IndexSchema) -> Any:
        return _Index(self._inner.create(name, schema), self._server)


class _Index:
    def __init__(self, inner: Index, server: Server) -> None:
        self._inner, self._server = inner, server
        self._hidden = server.hidden[inner.name]
        self._written = server.written[inner.name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _told(self, verb: str) -> None:
        self._server.verbs.append(verb)
        self._server.before(verb)
        if self._server.away:
            raise StoreUnavailable("The server does not answer.", cure="It is tried again.")

    def incarnation(self) -> str | None:
        self._told("incarnation")
        if self._server.start is None:
            return None
        return f"{self._server.told}{self._server.start}"

    def last_written(self, since: datetime | None) -> list[str]:
        self._told("last_written")
        before = [key for key, at in self._written.items() if since is None or at <= since]
        after = [key for key in self._written if key not in set(before)]
        return before[-self._server.tail :] + after

    def hidden(self, keys: Sequence[str]) -> list[str]:
        self._told("hidden")
        return [key for key in keys if key in self._hidden]

    def rewrite(self, keys: Sequence[str]) -> int:
        self._told("rewrite")
        done = self._inner.rewrite(keys)
        self._hidden.difference_update(keys)
        return done

    def scan(self, *, shard: int | None = None, hashes: bool = True) -> Iterator[pl.DataFrame]:
        return self._inner.scan(shard=shard, hashes=hashes)

    def add(self, objects: pl.DataFrame) -> int:
        return self._write("add", self._inner.add, objects)

    def upsert(self, objects: pl.DataFrame, *, doubled: Sequence[str] = ()) -> int:
        return self._write("upsert", partial(self._inner.upsert, doubled=doubled), objects)

    def delete(self, keys: Sequence[str], *, scanned: bool = False) -> int:
        self._told("delete")
        self._hidden.difference_update(keys)
        for key in keys:
            self._written.pop(key, None)
        return self._inner.delete(keys, scanned=scanned)

    def _write(self, verb: str, write: Callable[[pl.DataFrame], int], objects: pl.DataFrame) -> int:
        held = self._inner.fetch(objects[KEY].to_list()).select(KEY, VECTOR)
        same = objects.select(KEY, VECTOR).join(held, on=[KEY, VECTOR])[KEY].to_list()
        done = write(objects)
        self._hidden.difference_update({*objects[KEY]} - {*same})
        for key, at in objects.select(KEY, INDEXED_AT).iter_rows():
            if key not in same:
                self._written.pop(key, None)
                self._written[key] = at
        # After the write: whoever crashes it here does so before it is acknowledged.
        self._told(verb)
        return done
