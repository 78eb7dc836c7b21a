"""Generations: the physical indexes of a lens, one of them active, at most one being built.

A row says what an index is; it never is the index: making and dropping those is the store's. Drop
the index first and `forget` the row after, so that a crash in between leaves a row and no orphan.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import NotFound, Refused
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.generation import (
    MIXED,
    Generation,
    GenerationState,
    generation_of,
)
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.shards import ShardStatus
from semilayer_pipelines.registry.stored_config import to_json

__all__ = [
    "MIXED",
    "Generation",
    "GenerationState",
    "active",
    "adopt",
    "building",
    "forget",
    "forgotten",
    "index_name",
    "note_embedder",
    "note_job",
    "note_splitter",
    "open_next",
    "publish",
    "reinstate",
    "replaced_since",
    "retire",
    "retired",
    "retired_before",
    "rolled_back_since",
    "set_dimension",
    "watched",
]

_generations = tables.generations.c


def active(db: Connection, lens_id: int, *, held: bool = False) -> Generation | None:
    """Return the generation that queries are answered from.

    It stays that one until the transaction ends, if it is to be `held`.
    """
    return _one(db, _generations.active_slot == lens_id, held=held)


def building(db: Connection, lens_id: int) -> Generation | None:
    """Return the generation that is being filled."""
    return _one(db, _generations.building_slot == lens_id)


def watched(db: Connection) -> list[Generation]:
    """Return the active generations of all lenses under which a start of the store was seen."""
    return _many(db, _generations.active_slot.is_not(None) & _generations.incarnation.is_not(None))


def open_next(
    db: Connection,
    lens: Lens,
    *,
    index_name: Callable[[int], str],
    mapping_fingerprint: str,
    model_fingerprint: str,
    passage_prompt: str | None = None,
    bounds: Sequence[str],
    job_id: str,
    change_seq: int,
    source_rows: int | None,
    high_water: str | None = None,
    settled: str | None = None,
    split_by: str | None = None,
    now: datetime,
) -> Generation:
    """Open the next generation of a lens, with a pending shard for each range of `bounds`.

    `index_name` gets its number, which was never used before. When another run of the same job was
    faster, its generation is returned. Raises `NotFound` for a removed lens, and `Refused` while
    another job's generation is being built.
    """
    last = _last_number(db, lens)
    there = building(db, lens.id)
    if there is not None and there.job_id == job_id:
        return there
    if there is not None:
        raise Refused(
            f"Job {there.job_id} is building generation {there.number} already.",
            cure="Let it end, or forget its generation first.",
            lens=lens.name,
        )
    number = last + 1
    db.execute(
        update(tables.lenses).where(tables.lenses.c.id == lens.id).values(last_generation=number)
    )
    made = insert(tables.generations).values(
        lens_id=lens.id,
        number=number,
        index_name=index_name(number),
        state=GenerationState.BUILDING,
        building_slot=lens.id,
        mapping_fingerprint=mapping_fingerprint,
        model_fingerprint=model_fingerprint,
        passage_prompt=passage_prompt,
        config=to_json(lens.config),
        bounds=list(bounds),
        job_id=job_id,
        change_seq=change_seq,
        source_rows=source_rows,
        high_water=high_water,
        settled=settled,
        split_by=split_by,
        created_at=now,
    )
    generation_id = db.scalars(made.returning(_generations.id)).one()
    shards = [
        {
            "generation_id": generation_id,
            "number": shard,
            "status": ShardStatus.PENDING,
            "counts": Counts(),
        }
        for shard in range(len(bounds) + 1)
    ]
    db.execute(insert(tables.shards), shards)
    return _by_id(db, generation_id)


def set_dimension(db: Connection, generation_id: int, dimension: int) -> None:
    """Fix the length of the vectors; the first caller decides.

    Raises `DimensionChanged` when it was fixed to another, and `NotFound`.
    """
    db.execute(
        update(tables.generations)
        .where(_generations.id == generation_id, _generations.dimension.is_(None))
        .values(dimension=dimension)
    )
    generation = _by_id(db, generation_id)
    assert generation.dimension is not None
    require_dimension(
        dimension, generation.dimension, holder=f"generation {generation.number} holds"
    )


def note_embedder(db: Connection, generation_id: int, by: str) -> None:
    """Note what makes vectors of a generation, beside what did so before; raise `NotFound`."""
    before = _by_id(db, generation_id).embedded_by
    if by not in before:
        db.execute(
            update(tables.generations)
            .where(_generations.id == generation_id)
            .values(embedded_by=[*before, by])
        )


def note_job(db: Connection, generation_id: int, job_id: str) -> None:
    """Note which job goes on with a generation that is being built, if it is there."""
    db.execute(
        update(tables.generations).where(_generations.id == generation_id).values(job_id=job_id)
    )


def note_splitter(db: Connection, generation_id: int, split_by: str | None) -> None:
    """Note what cuts the long texts of a generation (see `Generation`); raise `NotFound`."""
    if _by_id(db, generation_id).split_by != split_by:
        db.execute(
            update(tables.generations)
            .where(_generations.id == generation_id)
            .values(split_by=split_by)
        )


def adopt(
    db: Connection, generation_id: int, *, mapping_fingerprint: str, config: LensConfig
) -> None:
    """Note that every row of a generation was brought in sync with this configuration."""
    db.execute(
        update(tables.generations)
        .where(_generations.id == generation_id)
        .values(mapping_fingerprint=mapping_fingerprint, config=to_json(config))
    )


def publish(db: Connection, generation_id: int, now: datetime) -> None:
    """Put a built generation in the place of the active one, which is retired.

    Does nothing when it is active already. Raises `NotFound`, and `Refused` when it is retired.
    """
    generation = _by_id(db, generation_id)
    if generation.state is GenerationState.ACTIVE:
        return
    if generation.state is GenerationState.RETIRED:
        raise Refused(
            f"Generation {generation.number} was retired; it cannot be put in place again.",
            cure="Rebuild: `semilayer push --rebuild`.",
        )
    # In this order: the place is unique, and has to be free before it can be taken.
    db.execute(
        update(tables.generations)
        .where(_generations.active_slot == generation.lens_id)
        .values(state=GenerationState.RETIRED, active_slot=None, retired_at=now)
    )
    db.execute(
        update(tables.generations)
        .where(_generations.id == generation_id)
        .values(
            state=GenerationState.ACTIVE,
            building_slot=None,
            active_slot=_generations.lens_id,
            published_at=now,
        )
    )


def reinstate(
    db: Connection,
    generation_id: int,
    *,
    instead_of: int,
    retired_after: datetime,
    now: datetime,
) -> None:
    """Put a retired generation in the place of the active one, `instead_of`, which is retired.

    Raises `Refused` when either is not what it was thought to be, or the first was not retired
    after `retired_after`: what is older may be being dropped.
    """
    retire(db, instead_of, now)
    try:
        changed = db.execute(
            update(tables.generations)
            .where(_generations.id == generation_id, _generations.retired_at > retired_after)
            .values(
                state=GenerationState.ACTIVE,
                active_slot=_generations.lens_id,
                published_at=now,
                retired_at=None,
            )
        ).rowcount
    except IntegrityError:
        changed = 0  # another took the place
    if not changed:
        raise Refused("Its index was switched a moment ago.", cure="Look at `semilayer status`.")


def retire(db: Connection, generation_id: int, now: datetime) -> None:
    """Take the active generation out of its place, with none to follow yet."""
    db.execute(
        update(tables.generations)
        .where(_generations.id == generation_id, _generations.active_slot.is_not(None))
        .values(state=GenerationState.RETIRED, active_slot=None, retired_at=now)
    )


def rolled_back_since(lens_id: int, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that at a time an index served that a rollback has replaced since.

    What walks did then, the index in use has not; known while the other one is kept.
    """
    active, other = tables.generations.alias("active"), tables.generations.alias("other")
    # None is published while another is built, but where a rollback went back to an older one.
    newer = and_(active.c.active_slot == lens_id, other.c.published_at > active.c.created_at)
    served = and_(other.c.published_at <= at, other.c.retired_at > at)
    return select(other.c.id).where(other.c.lens_id == lens_id, newer, served).exists()


def retired(db: Connection, lens_id: int) -> list[Generation]:
    """Return the retired generations of a lens, the oldest first."""
    state = _generations.state == GenerationState.RETIRED
    return _many(db, (_generations.lens_id == lens_id) & state)


def replaced_since(db: Connection, env: str, since: datetime) -> set[int]:
    """Return the ids of the lenses that have a published generation retired after a time."""
    lens_ids = select(_generations.lens_id).select_from(tables.generations).join(tables.lenses)
    served = _generations.published_at.is_not(None) & (_generations.retired_at > since)
    of_env = lens_ids.where(served, _generations.state == GenerationState.RETIRED)
    return {lens_id for (lens_id,) in _of_env(db, of_env, env)}


def retired_before(db: Connection, before: datetime) -> list[Generation]:
    """Return the generations of all lenses that were retired before a time.

    A lens without an active generation keeps what it has: it may be the last good one.
    """
    other = tables.generations.alias("other")
    followed = select(other.c.id).where(other.c.active_slot == _generations.lens_id).exists()
    return _many(db, (_generations.retired_at < before) & followed)


def forget(db: Connection, generation_id: int) -> None:
    """Delete the row of a generation and of its shards; its number stays used."""
    db.execute(delete(tables.generations).where(_generations.id == generation_id))


def index_name(lens: Lens, number: int) -> str:
    """Return the name of the physical index of a lens's generation; no other ever has it."""
    return _index_name(lens.name, lens.id, number)


def forgotten(db: Connection, env: str, names: Collection[str]) -> list[str]:
    """Return those of an environment's indexes that were generations of it and are none any more.

    `names` must have been listed before: a generation's row is there before its index. What this
    registry never gave a name to is not among them: it may be another one's.
    """
    of_lens = select(_generations.index_name).select_from(tables.generations).join(tables.lenses)
    known = {name for (name,) in _of_env(db, of_lens, env)}
    lenses = tables.lenses.c
    given = {
        _index_name(row.name, row.id, number)
        for row in _of_env(db, select(lenses.name, lenses.id, lenses.last_generation), env)
        for number in range(1, row.last_generation + 1)
    }
    return sorted((set(names) & given) - known)


def _of_env(db: Connection, query: Select[Any], env: str) -> Sequence[Row[Any]]:
    of_env = query.join(tables.environments).where(tables.environments.c.slug == env)
    return db.execute(of_env).all()


def _index_name(lens: str, lens_id: int, number: int) -> str:
    return f"{lens}-{lens_id}-g{number:06d}"


def _last_number(db: Connection, lens: Lens) -> int:
    # The lens's row is locked, so that two runs which open at once do it one after the other.
    row = db.scalar(
        select(tables.lenses.c.last_generation)
        .where(tables.lenses.c.id == lens.id)
        .with_for_update()
    )
    if row is None:
        raise NotFound("The lens was removed.", cure="Push it again.", lens=lens.name)
    return int(row)


def _by_id(db: Connection, generation_id: int) -> Generation:
    found = _one(db, _generations.id == generation_id)
    if found is None:
        raise NotFound(
            f"Generation {generation_id} is gone.",
            cure="A newer rebuild or a removed lens took it away; nothing was written.",
        )
    return found


def _one(db: Connection, which: ColumnElement[bool], *, held: bool = False) -> Generation | None:
    query = select(tables.generations).where(which)
    # SQLite knows no such lock: there, whoever writes is alone anyway.
    row = db.execute(query.with_for_update(read=True) if held else query).one_or_none()
    return None if row is None else generation_of(row)


def _many(db: Connection, which: ColumnElement[bool]) -> list[Generation]:
    rows = db.execute(select(tables.generations).where(which).order_by(_generations.id))
    return [generation_of(row) for row in rows]
