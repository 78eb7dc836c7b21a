"""A server that is killed at random moments: every row is found again, and none is embedded twice.

So is every chunk of a long text.

A real server takes ten seconds to come up, so this is a command of its own:
`make test-weaviate-kills`. Without `WEAVIATE_URL` the double dies in its place.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import polars as pl
import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import SemilayerError, Terminal
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.stores.chunks.protocol import RowStore
from semilayer_pipelines.stores.protocol import KEY, Index, IndexSchema, Store
from tests.ingest.chunked import CHUNKING, row_index, wanted_texts, wrong
from tests.lab import ENV, Lab
from tests.stores.weaviate.bare import RESTART
from tests.weaviate_double.server import Double

SEEDS = range(4)
WAYS = ("full", "incremental", "records", "smart sync", "rebuild")
MOST_ATTEMPTS = 30
_NAME = re.compile(r"round \d+ row \d+")


@dataclass(frozen=True)
class Victim:
    """A server that can be killed, how many rows it is given, and how many it takes in a second.

    The double gets fewer: it searches without an index.
    """

    environ: dict[str, str]
    kill_and_restart: Callable[[], object]
    rows: int
    rows_per_s: float


@dataclass(frozen=True)
class Text:
    """What a row is given to say, in so many sentences, and how many vectors that makes."""

    sentences: int
    vectors: int

    def of(self, name: str) -> str:
        """Return a text every chunk of which tells the row's name."""
        return " ".join(f"{name} has words, {n} of them." for n in range(self.sentences))


SHORT, LONG = Text(sentences=1, vectors=1), Text(sentences=4, vectors=4)


@pytest.fixture
def victim() -> Iterator[Victim]:
    if "WEAVIATE_URL" not in os.environ:
        with Double.serving() as double:
            yield Victim(double.environ, lambda: double.kill_and_restart(hide=24), 300, 1_000)
        return
    command = os.environ.get(RESTART)
    if not command:
        pytest.skip(f"a real server: {RESTART} must name a command that kills and restarts it")
    told = {name: value for name, value in os.environ.items() if name.startswith("WEAVIATE_")}
    yield Victim(
        told, lambda: subprocess.run(command, shell=True, check=True, timeout=120), 2_000, 500
    )


@dataclass
class Noted:
    """What was embedded, and which of it was acknowledged by the store before."""

    texts: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    wasted: list[str] = field(default_factory=list)

    def embed(self, texts: Sequence[str]) -> None:
        for text in texts:
            found = _NAME.search(text)
            assert found is not None, text
            self.texts[text] += 1
            if found[0] in self.acknowledged:
                self.wasted.append(found[0])

    def acknowledge(self, objects: pl.DataFrame) -> None:
        self.acknowledged |= {*objects["name"].to_list()}


class Noting(Project):
    """A project that notes what it embeds and what its store acknowledges."""

    noted: Noted

    @classmethod
    def of(cls, project: Project, noted: Noted) -> Noting:
        noting = cls(project.settings, project.environ, project.clock)
        object.__setattr__(noting, "noted", noted)
        return noting

    def embedder(self, config: EmbeddingConfig, built: BuiltWith | None = None) -> Embedder:
        return _Embedder(super().embedder(config, built), self.noted)

    def store(self, env: str) -> RowStore:
        return cast(RowStore, _Store(super().store(env), self.noted))


class _Embedder:
    def __init__(self, inner: Embedder, noted: Noted) -> None:
        self._inner, self._noted = inner, noted
        self.fingerprint = inner.fingerprint

    def embed(self, texts: Sequence[str]) -> Embedded:
        self._noted.embed(texts)
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        return self._inner.reading()


class _Store:
    def __init__(self, inner: Store, noted: Noted) -> None:
        self._inner, self._noted = inner, noted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def find(self, name: str) -> Any:
        index = self._inner.find(name)
        return index and _Index(index, self._noted)

    def open(self, name: str) -> Any:
        return _Index(self._inner.open(name), self._noted)

    def create(self, name: str, schema: IndexSchema) -> Any:
        return _Index(self._inner.create(name, schema), self._noted)


class _Index:
    def __init__(self, inner: Index, noted: Noted) -> None:
        self._inner, self._noted = inner, noted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def add(self, objects: pl.DataFrame) -> int:
        written = self._inner.add(objects)
        self._noted.acknowledge(objects)
        return written

    def upsert(self, objects: pl.DataFrame, *, doubled: Sequence[str] = ()) -> int:
        written = self._inner.upsert(objects, doubled=doubled)
        self._noted.acknowledge(objects)
        return written


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_every_row_is_found_after_kills_at_random_moments_of_every_mode(
    text: Text, seed: int, tmp_path: Path, victim: Victim
) -> None:
    # given
    dice = random.Random(seed)
    prefix = {"SEMILAYER_STORE": "weaviate", "WEAVIATE_PREFIX": f"K{uuid4().hex[:10]}"}
    plain = Lab.at(
        tmp_path,
        rows=victim.rows // text.vectors,
        environ=victim.environ | prefix,
        shards=dice.choice([1, 2]),
        chunking=CHUNKING,
    )
    noted = Noted()
    lab = Lab(Noting.of(plain.project, noted), tmp_path)
    try:
        for number, way in enumerate(WAYS):
            ids = change(lab, number, dice, text)
            job = asked(lab, way, ids)

            # when
            moment = dice.uniform(0, 1.2 * len(ids) * text.vectors / victim.rows_per_s)
            with killed(victim, after_s=moment):
                counts, failed = to_its_end(lab, job)
            # The daemon queues a job like this one when it notices that the server was restarted.
            then, _ = to_its_end(lab, lab.request(Mode.RECORDS))

            # then
            print(
                f"{text.vectors} vectors per row, seed {seed}, {way}: killed after {moment:.2f} s; "
                f"{failed} attempts failed, {counts.recovered + then.recovered} rows recovered; "
                f"embedded again: {noted.texts.total() - len(noted.texts)} "
                f"of {noted.texts.total()}",
                flush=True,
            )
            # A page may be embedded again whose write was not acknowledged, and no other.
            assert noted.wasted == []
            assert_all_found(plain)
            noted.texts.clear()
    finally:
        for name in plain.project.store(ENV).names():
            plain.project.store(ENV).drop(name)


def change(lab: Lab, number: int, dice: random.Random, text: Text) -> list[int]:
    """Give rows other texts: all at first, later a third; move prices, delete and insert a few."""
    with lab.source() as db:
        known = [id for (id,) in db.execute("SELECT id FROM items")]
        some = known if number == 0 else sorted(dice.sample(known, len(known) // 3))
        gone, priced = set(), list[int]()
        if number:
            others = sorted({*known} - {*some})
            gone, priced = {*others[:20]}, others[20:120]
            some += range(max(known) + 1, max(known) + 21)
        when = f"2026-06-{number + 1:02d} 00:00:00"
        named = [(id, f"round {number} row {id}") for id in some]
        db.executemany("DELETE FROM items WHERE id = ?", [(id,) for id in gone])
        db.executemany(
            "INSERT INTO items VALUES (?1, ?2, ?3, 1, 'tools', ?4) ON CONFLICT (id) "
            "DO UPDATE SET name = ?2, description = ?3, updated_at = ?4",
            [(id, name, text.of(name), when) for id, name in named],
        )
        db.executemany(
            "UPDATE items SET price = price + 1, updated_at = ? WHERE id = ?",
            [(when, id) for id in priced],
        )
    return [*some, *priced, *gone]


def asked(lab: Lab, way: str, ids: Sequence[int]) -> Job:
    """Ask for the job that brings these rows."""
    match way:
        case "full" | "rebuild":
            return lifecycle.request_rebuild(lab.project, ENV, lab.name)
        case "records":
            there = sorted({*ids} - {*absent(lab, ids)})
            tell(lab, there, Action.UPSERT)
            tell(lab, absent(lab, ids), Action.DELETE)
            return lab.request(Mode.RECORDS)
        case "incremental":
            # It cannot see what was deleted.
            tell(lab, absent(lab, ids), Action.DELETE)
            return lab.request(Mode.INCREMENTAL)
        case _:
            return lab.request(Mode.SMART_SYNC)


def tell(lab: Lab, ids: Sequence[int], action: Action) -> None:
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [(str(id), action) for id in ids], lab.project.clock())


def absent(lab: Lab, ids: Sequence[int]) -> list[int]:
    with lab.source() as db:
        return sorted({*ids} - {id for (id,) in db.execute("SELECT id FROM items")})


@contextmanager
def killed(victim: Victim, *, after_s: float) -> Iterator[None]:
    """Kill the server after some seconds, and leave when it is back."""

    def kill() -> None:
        time.sleep(after_s)
        victim.kill_and_restart()

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        yield
        killing.result()


def to_its_end(lab: Lab, job: Job) -> tuple[Counts, int]:
    """Run a job again, as the daemon does, until it ends; return its counts and its failures."""
    for failed in range(MOST_ATTEMPTS):
        try:
            return lab.run(job).counts, failed
        except Terminal:
            raise
        except SemilayerError as error:
            print(f"  {type(error).__name__}: {str(error)[:150]}", flush=True)
            time.sleep(0.2)
            with lab.project.registry.begin() as db:
                jobs.hasten(db, job.id, lab.project.clock())
    raise AssertionError("a job that never ends")


def assert_all_found(lab: Lab) -> None:
    """Check the index against the source, and every text by a search for its own vector."""
    assert wrong(lab) == []
    texts, index = wanted_texts(lab), row_index(lab)
    vectors = lab.project.embedder(lab.lens.config.embedding).embed(texts["_text"].to_list())

    def finds(key: str, vector: list[float]) -> bool:
        return key in index.search(vector, limit=5)[KEY].to_list()

    keys = texts[KEY].to_list()
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(finds, keys, vectors.vectors.tolist())
        assert [key for key, known in zip(keys, found, strict=True) if not known] == []
