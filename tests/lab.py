"""A whole project in a folder: SQLite source, registry, LanceDB, hash embedder. All real."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl

from semilayer_pipelines.config.models import LensConfig, ProjectConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.ingest.kept_rows import forget_kept
from semilayer_pipelines.ingest.open_lens import open_lens
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import Outcome, run_job
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import changes, generations, jobs, lenses, tables, walks
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, VECTOR, Index
from tests.registry_file import lay_registry
from tests.workload import FIELDS, create_items

ENV = "test"


@dataclass(frozen=True)
class Verdict:
    """How an index differs from its source; all zero when it does not."""

    missing: int
    orphan: int
    stale: int
    doubled: int

    @property
    def clean(self) -> bool:
        return self == Verdict(0, 0, 0, 0)


@dataclass
class Lab:
    """A project under test and its lens `name`; its source is a SQLite file unless told.

    `cdc` says how the source is followed.
    """

    project: Project
    folder: Path
    connection: str | None = None
    name: str = "items"
    cdc: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def at(
        cls,
        folder: Path,
        *,
        rows: int = 0,
        environ: Mapping[str, str] | None = None,
        **lens: object,
    ) -> Lab:
        """Make a project in `folder` whose source has `rows` rows, and push its lens.

        `environ` holds settings besides the environment's name, such as another store.
        """
        lab = cls.opened(folder, environ or {})
        if rows:
            create_items(lab.database, rows)
        lab.push(**lens)
        return lab

    @classmethod
    def opened(cls, folder: Path, environ: Mapping[str, str]) -> Lab:
        """Open the project that was made in `folder`."""
        settings = Settings.from_environ({"SEMILAYER_ENV": ENV} | dict(environ), folder)
        lay_registry(settings.registry_url)
        return cls(Project(settings, environ), folder)

    @property
    def database(self) -> Path:
        return self.folder / "source.db"

    def push(self, *others: str, **changed: object) -> None:
        """Push the lens, with these keys of its configuration set, and others just like it."""
        lens = {
            "source": "main",
            "table": "items",
            "embedding": {"provider": "hash"},
            "fields": FIELDS,
        } | changed
        connection = self.connection or f"sqlite:///{self.database}"
        config = ProjectConfig.model_validate(
            {
                "stack": "test",
                "sources": {"main": {"bridge": "sql", "connection": connection, **self.cdc}},
                "lenses": {name: lens for name in (self.name, *others)},
            }
        )
        apply_push(self.project, plan_push(self.project, config, ENV))

    @contextmanager
    def source(self) -> Iterator[sqlite3.Connection]:
        """Write to the source; committed at the end."""
        db = sqlite3.connect(self.database)
        try:
            with db:
                yield db
        finally:
            db.close()

    @property
    def lens(self) -> Lens:
        with self.project.registry.read() as db:
            return lenses.get(db, ENV, self.name)

    def object_of(self, key: str) -> dict[str, object]:
        """Return a row as the index has it."""
        found = self.index.get(key)
        assert found is not None, key
        return found

    def full(self, *, proves: bool = False, **run: Any) -> Outcome:
        """Resume or rebuild, and run the full ingest to its end here.

        The first sync after it reads every row all the same, unless it `proves` what it read.
        """
        outcome = self.run(lifecycle.request_rebuild(self.project, ENV, self.name), **run)
        if outcome.generation is not None and not proves:
            self._forget_walk(outcome.generation)
        return outcome

    def _forget_walk(self, generation: Generation) -> None:
        with self.project.registry.begin() as db:
            walk = walks.get(db, generation.id)
            of_it = tables.walks.c.generation_id == generation.id
            db.execute(tables.walks.delete().where(of_it))
        if walk is not None:
            forget_kept(self.project.settings.walks, walk.files)

    def sync(self, *, confirmed: bool = False, full_walk: bool = False, **run: Any) -> Outcome:
        """Ask for a smart sync and run it to its end here."""
        job = lifecycle.request_sync(
            self.project, ENV, self.name, confirmed=confirmed, full_walk=full_walk
        )
        return self.run(job, **run)

    def request(self, mode: Mode, *, shard: int | None = None) -> Job:
        with self.project.registry.begin() as db:
            return jobs.request(
                db,
                lenses.get(db, ENV, self.name),
                mode,
                job_id=uuid4().hex,
                origin="test",
                now=self.project.clock(),
                shard=shard,
            ).job

    def run(
        self,
        job: Job,
        *,
        shard: int | None = None,
        report: Callable[[PageDone], None] = lambda _: None,
    ) -> Outcome:
        return run_job(self.project, job.id, shard=shard, report=report)

    def apply_all(self) -> None:
        """Run records jobs, early ones too, until no change waits, not even for its row."""
        for _ in range(20):
            self.run(self.request(Mode.RECORDS))
            with self.project.registry.read() as db:
                if not changes.buffered(db, self.lens.id):
                    return
        raise AssertionError("changes wait for ever")

    def building(self) -> Generation | None:
        """Return the generation that is being filled."""
        with self.project.registry.read() as db:
            return generations.building(db, self.lens.id)

    @property
    def index(self) -> Index:
        """The index that searches see."""
        with self.project.registry.read() as db:
            active = generations.active(db, self.lens.id)
        assert active is not None, "nothing is published"
        return self.project.store(ENV).open(active.index_name)

    def indexed(self) -> pl.DataFrame:
        """Return (KEY, ROW_HASH) of every object."""
        return pl.concat(
            [
                pl.DataFrame(schema={KEY: pl.String, ROW_HASH: pl.Binary}),
                *(frame.select(KEY, ROW_HASH) for frame in self.index.scan()),
            ]
        )

    def wanted(self) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, VECTOR) of every row of the source that can be mapped."""
        with open_lens(self.project, self.lens) as parts:
            frames = []
            window_limit = 5_000
            from semilayer_pipelines.bridges.protocol import Window

            cursor: str | None = None
            while True:
                page = parts.bridge.read_page(parts.selection, Window(after=cursor), window_limit)
                mapped = parts.mapping.apply(page.frame).frame
                vectors = parts.embedder.embed(mapped["_text"].to_list()).vectors
                frames.append(mapped.select(KEY, ROW_HASH).with_columns(pl.Series(VECTOR, vectors)))
                if page.cursor is None:
                    return pl.concat([f for f in frames if f.height] or frames[:1])
                cursor = page.cursor

    def audit(self) -> Verdict:
        """Compare the index with the source: every key, every hash, every vector."""
        have, want = self.indexed(), self.wanted()
        doubled = have.height - have[KEY].n_unique()
        missing = want.join(have, on=KEY, how="anti").height
        orphan = have.join(want, on=KEY, how="anti").height
        objects = self.index.fetch(want[KEY].to_list()).unique(KEY)
        both = want.join(objects, on=KEY, suffix="_indexed")
        other_row = (both[ROW_HASH] != both[f"{ROW_HASH}_indexed"]).to_numpy()
        if both.height:
            wrong = np.abs(both[VECTOR].to_numpy() - both[f"{VECTOR}_indexed"].to_numpy()).max(
                axis=1
            )
            other_row = other_row | (wrong > 1e-5)
        return Verdict(missing, orphan, int(other_row.sum()), doubled)


def lens_config(**changed: object) -> LensConfig:
    """Return a lens over `items` with these keys changed."""
    base = {"source": "main", "table": "items", "embedding": {"provider": "hash"}, "fields": FIELDS}
    return LensConfig.model_validate(base | changed)


def as_environ(lab: Lab) -> dict[str, str]:
    """Return the settings that open the same project in another process."""
    return {"SEMILAYER_ENV": ENV, "SEMILAYER_ROOT": str(lab.folder)}


__all__ = ["ENV", "Lab", "Verdict", "as_environ", "lens_config"]
