"""The whole system in a folder, with a clock that is told the time, and what is checked of it."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import dagster as dg
import numpy as np
import polars as pl
from sqlalchemy import select

from semilayer_pipelines.control.accept import Accepted, Call, accept
from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.ingest.open_lens import open_lens
from semilayer_pipelines.orchestration.recovery import close_silent
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import api_keys, generations, jobs, tables
from semilayer_pipelines.registry.api_key import KeyKind, PresentedKey, parse_key
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, VECTOR
from tests.clock import Clock
from tests.lab import ENV, Lab
from tests.machine.model import Model, Row
from tests.workload import FIELDS, create_items

__all__ = ["FIELD_SETS", "MODELS", "World"]

FIELD_SETS = (FIELDS, FIELDS | {"name": {"type": "text", "searchable": {"weight": 3}}})
MODELS = (
    {"provider": "hash", "dimensions": 8},
    {"provider": "hash", "dimensions": 8, "model": "another"},
    {"provider": "hash", "dimensions": 12},
)


@dataclass
class World:
    """One lens, its source, its registry and its index; `model` knows what ought to be."""

    lab: Lab
    clock: Clock
    key: PresentedKey
    instance: dg.DagsterInstance
    model: Model = field(default_factory=Model)
    config: dict[str, object] = field(default_factory=lambda: {"embedding": MODELS[0]})

    @classmethod
    def at(cls, folder: Path) -> World:
        clock = Clock()
        settings = Settings.from_environ({"SEMILAYER_ENV": ENV}, folder)
        lab = Lab(Project(settings, {}, clock), folder)
        create_items(lab.database, 0)
        lab.push(embedding=MODELS[0])
        with lab.project.registry.begin() as db:
            _, text = api_keys.create(
                db, ENV, KeyKind.INGEST, "cdc", choose=secrets.choice, now=clock()
            )
        key = parse_key(text)
        assert key is not None
        return cls(lab, clock, key, dg.DagsterInstance.ephemeral())

    def close(self) -> None:
        self.lab.project.registry.close()
        self.instance.dispose()

    # What the application does.

    def put(self, id: int, name: str, description: str, *, poison: bool, moves: bool) -> None:
        old = self.model.rows.get(id)
        at = f"{self.clock():%Y-%m-%d %H:%M:%S.%f}"
        if old is not None and not moves:
            at = old.updated_at or at
        row = self.model.put(id, name, description, poison, at)
        self._execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", row.values())

    def delete(self, id: int) -> None:
        self.model.delete(id)
        self._execute("DELETE FROM items WHERE id = ?", (id,))

    def rekey(self, old: int, new: int) -> None:
        row = self.model.rows[old]
        self.model.delete(old)
        moved = self.model.put(new, row.name, row.description, row.poison, row.updated_at)
        with closing(sqlite3.connect(self.lab.database)) as db, db:
            db.execute("DELETE FROM items WHERE id = ?", (old,))
            db.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", moved.values())

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.lab.database)) as db, db:
            db.execute(statement, values)

    def call(self, mode: Mode, changes: list[tuple[int, Action]]) -> None:
        """Call the webhook; what it acknowledged is promised."""
        named = [(str(id), action) for id, action in changes]
        with self.lab.project.registry.begin() as db:
            [told] = accept(
                db,
                [Call(self.key, "items", mode, named)],
                clock=self.clock,
                new_id=lambda: uuid4().hex,
            )
        if isinstance(told, Accepted):
            for id, action in changes:
                self.model.promise(id, action)

    # What people and the daemon do.

    def push(self, **changes: object) -> None:
        self.config |= changes
        self.lab.push(**self.config)

    def due(self) -> list[Job]:
        with self.lab.project.registry.read() as db:
            return sorted(jobs.due(db, self.clock()), key=lambda job: (job.due_at, job.mode))

    def serves(self) -> bool:
        """Say whether there is an index in use."""
        return self._active() is not None

    def shards(self) -> int:
        active = self._active()
        return len(active.bounds) + 1 if active else 0

    def unfinished(self) -> list[Job]:
        """Return the jobs that are queued or running."""
        alive = (JobStatus.QUEUED, JobStatus.RUNNING)
        with self.lab.project.registry.read() as db:
            return [job for job in jobs.recent(db, limit=1_000) if job.status in alive]

    def recover(self) -> None:
        """Do what the sensor does about runs that fell silent."""
        with self.lab.project.registry.read() as db:
            silent = jobs.silent(db, self.clock() - SILENCE)
        for job in silent:
            close_silent(self.instance, self.lab.project, job)

    # What must hold.

    def check(self) -> None:
        """Look at the index that searches see; raise `AssertionError` for what may never be."""
        generation = self._active()
        if generation is None:
            return
        objects = self._objects(generation)
        assert objects[KEY].n_unique() == objects.height, "a row is there twice"
        indexed = {int(key): int(price) for key, price in objects.select(KEY, "price").iter_rows()}
        broken = self.model.broken(indexed, self.waiting())
        assert not broken, broken
        back = self.model.gone_back(generation.number, indexed)
        assert not back, back
        self._check_vectors(generation, objects)

    def _check_vectors(self, generation: Generation, objects: pl.DataFrame) -> None:
        """Check that every vector is one of its version's by the one model of the generation."""
        if not objects.height:
            return
        by_version = {row.version: row for row in self.model.history}
        rows = [by_version[int(price)] for price in objects["price"]]
        near = np.zeros(len(rows), dtype=np.bool_)
        for fields in FIELD_SETS:
            config = generation.config.model_copy(
                update={"fields": replace_fields(generation, fields)}
            )
            with open_lens(self.lab.project, replace(self.lab.lens, config=config)) as parts:
                mapped = parts.mapping.apply(_frame(rows)).frame
                vectors = parts.embedder.embed(mapped["_text"].to_list()).vectors
            near |= np.abs(vectors - objects[VECTOR].to_numpy()).max(axis=1) < 1e-5
        assert near.all(), "a vector is of another model, or of another row"

    def _objects(self, generation: Generation) -> pl.DataFrame:
        store = self.lab.project.store(ENV)
        schema = {KEY: pl.String, "price": pl.Float64}
        index = store.find(generation.index_name)
        if index is None:
            return pl.DataFrame(schema=schema)
        keys = pl.concat(
            [pl.DataFrame(schema={KEY: pl.String}), *(f.select(KEY) for f in index.scan())]
        )[KEY].to_list()
        found = [index.get(key) for key in keys]
        kept = [one for one in found if one is not None]
        return pl.DataFrame(
            {
                KEY: keys,
                "price": [float(str(one["price"])) for one in kept],
                VECTOR: [one[VECTOR] for one in kept],
            },
            schema={**schema, VECTOR: pl.Array(pl.Float32, index.dimension)},
        )

    def _active(self) -> Generation | None:
        with self.lab.project.registry.read() as db:
            return generations.active(db, self.lab.lens.id)

    def waiting(self) -> set[int]:
        changes = tables.changes.c
        with self.lab.project.registry.read() as db:
            return {
                int(k) for k in db.scalars(select(changes.key).where(changes.applied_at.is_(None)))
            }

    def check_quiet(self) -> None:
        """Check what holds once nothing is queued or running."""
        status = self.lab.lens.status
        assert status is not LensStatus.INDEXING, "the lens is stuck in indexing"

    def check_in_line(self) -> None:
        """Check that the index is the mapped source, as after a smart sync it must be."""
        self.check()
        generation = self._active()
        assert generation is not None
        objects = self._objects(generation)
        indexed = {int(key): int(price) for key, price in objects.select(KEY, "price").iter_rows()}
        wanted = {row.id: row.version for row in self.model.rows.values() if not row.poison}
        # Of a row that cannot be mapped, what was there before it broke stays.
        left = {id: indexed[id] for id in set(indexed) & set(self.model.rows) - set(wanted)}
        assert indexed == wanted | left
        if not indexed:
            return  # there may be no physical index as long as nothing was ever written
        hashes = self.lab.wanted().join(self.lab.indexed(), on=[KEY, ROW_HASH], how="anti")
        assert not hashes.height, f"{hashes[KEY].to_list()} are mapped by another configuration"


def replace_fields(generation: Generation, fields: object) -> object:
    config = generation.config
    return (
        type(config)
        .model_validate(config.model_dump(by_alias=True, exclude_unset=True) | {"fields": fields})
        .fields
    )


def _frame(rows: list[Row]) -> pl.DataFrame:
    names = ["id", "name", "description", "price", "category", "updated_at"]
    values = [replace(row, poison=False).values() for row in rows]
    return pl.DataFrame(values, schema=names, orient="row")
