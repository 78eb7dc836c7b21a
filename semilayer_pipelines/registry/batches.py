"""Batches: what a provider embeds in its own time, for key ranges of a shard that is being filled.

A row is there before the provider is asked for anything, and until nothing is left there: whatever
dies in between, the next run knows what to look for, and under which id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from semilayer_pipelines.config.base import STORED
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.generations import GenerationState
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = [
    "Awaited",
    "Batch",
    "awaited",
    "begin",
    "forget",
    "give_up",
    "left_over",
    "note_look",
    "note_sent",
    "of_shard",
    "to_the_end",
]

_batches = tables.batches.c


@dataclass(frozen=True)
class Batch:
    """The texts of a key range of a shard, from the end of the batch before it to `upto`.

    `upto` is `None` for the rest of the shard. `id` is ours, `remote` the provider's: `None` while
    it has not told, empty while it has no room for the batch. `embedding` says whom to ask about
    it. `done` of its `texts` were embedded when it was looked at last. It was created `tries`
    times, the last time at `sent_at`.
    """

    id: str
    lens_id: int
    generation_id: int
    shard: int
    number: int
    upto: str | None
    embedding: EmbeddingConfig
    texts: int
    done: int
    remote: str | None
    tries: int
    created_at: datetime
    sent_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Awaited:
    """All batches of a lens together: `done` of `texts`, since when, and the provider's latest."""

    batches: int
    texts: int
    done: int
    since: datetime
    until: datetime | None

    def __str__(self) -> str:
        """Tell it to a person."""
        latest = f", until {_minute(self.until)} at the latest" if self.until else ""
        number = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        return (
            f"waits for {number} of the provider{latest}: {self.done:,} of {self.texts:,} texts "
            f"are done, since {_minute(self.since)}"
        )


def begin(db: Connection, batch: Batch) -> None:
    """Note a batch that is about to be sent."""
    values = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    values["embedding"] = batch.embedding.model_dump(mode="json", by_alias=True, exclude_unset=True)
    db.execute(insert(tables.batches).values(values))


def note_sent(
    db: Connection, ours: str, *, remote: str, expires_at: datetime | None, now: datetime
) -> None:
    """Note that the provider has a batch, and under which id."""
    told = {"remote": remote, "expires_at": expires_at, "sent_at": now, "done": 0}
    _set(db, ours, tries=_batches.tries + 1, **told)


def note_look(db: Connection, ours: str, *, done: int, expires_at: datetime | None) -> None:
    """Note how many texts of a batch are done, and until when it takes: OpenAI tells that late."""
    _set(db, ours, done=done, expires_at=expires_at)


def give_up(db: Connection, ours: str) -> None:
    """Take a batch that was cancelled here out of its shard: no run fills anything from it.

    It is left over then, whatever becomes of its lens, until nothing of it is at the provider.
    """
    # A number of its own: those of a shard are unique.
    _set(db, ours, shard=-1 - int(ours[:7], 16))


def to_the_end(db: Connection, ours: str) -> None:
    """Let the last batch of a shard stand for the rest of it: few texts come behind."""
    _set(db, ours, upto=None)


def forget(db: Connection, ours: str) -> None:
    """Forget a batch of which nothing is left at the provider."""
    db.execute(delete(tables.batches).where(_batches.id == ours))


def of_shard(db: Connection, generation_id: int, shard: int) -> list[Batch]:
    """Return the batches of a shard, in the order of its keys."""
    return _many(db, and_(_batches.generation_id == generation_id, _batches.shard == shard))


def left_over(db: Connection, lens_id: int | None = None) -> list[Batch]:
    """Return the batches, of one lens or of all, that no job waits for any more.

    They were given up, the lens or the generation is gone, its full ingest was cancelled, or it is
    configured without batches, or with another address or key.
    """
    waited = _waited_for()
    return _many(db, ~waited if lens_id is None else and_(~waited, _batches.lens_id == lens_id))


def _waited_for() -> ColumnElement[bool]:
    generations, jobs, lenses = tables.generations, tables.jobs, tables.lenses
    filled = select(generations.c.id).where(
        generations.c.id == _batches.generation_id,
        generations.c.state == GenerationState.BUILDING,
    )
    asked = select(jobs.c.id).where(
        jobs.c.lens_id == _batches.lens_id,
        jobs.c.mode == Mode.FULL,
        jobs.c.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)),
    )
    wanted = select(lenses.c.id).where(
        lenses.c.id == _batches.lens_id,
        lenses.c.config["embedding"]["batch"].as_boolean(),
        *(
            func.coalesce(lenses.c.config["embedding"][key].as_string(), "")
            == func.coalesce(_batches.embedding[key].as_string(), "")
            for key in ("url", "apiKey")
        ),
        # What somebody corrects goes on where it failed.
        or_(asked.exists(), lenses.c.status == LensStatus.ERROR),
    )
    return and_(_batches.shard >= 0, filled.exists(), wanted.exists())


def awaited(db: Connection, lens_id: int) -> Awaited | None:
    """Return what a lens waits for; `None` when it waits for no batch."""
    row = db.execute(
        select(
            func.count().label("batches"),
            func.sum(_batches.texts).label("texts"),
            func.sum(_batches.done).label("done"),
            func.min(_batches.created_at).label("since"),
            func.max(_batches.expires_at).label("until"),
        ).where(_batches.lens_id == lens_id, _waited_for())
    ).one()
    return Awaited(*row) if row.batches else None


def _set(db: Connection, ours: str, **values: object) -> None:
    db.execute(update(tables.batches).where(_batches.id == ours).values(**values))


def _many(db: Connection, which: ColumnElement[bool]) -> list[Batch]:
    query = select(tables.batches).where(which)
    rows = db.execute(query.order_by(_batches.generation_id, _batches.shard, _batches.number))
    return [_batch(row) for row in rows]


def _batch(row: Row[Any]) -> Batch:
    told = dict(row._mapping)
    return Batch(
        **{**told, "embedding": EmbeddingConfig.model_validate(row.embedding, context=STORED)}
    )


def _minute(moment: datetime) -> str:
    return utc_text(moment.replace(second=0, microsecond=0))
