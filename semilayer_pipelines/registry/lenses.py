"""Lenses as they were last registered, with their status and what a push left to be done.

Nothing here starts work: jobs do (`registry.jobs`). A new lens is paused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import NotFound, nearest
from semilayer_pipelines.registry import environments, tables
from semilayer_pipelines.registry.sql import insert
from semilayer_pipelines.registry.stored_config import canonical_hash, lens_from_json, to_json

__all__ = [
    "PUSH",
    "Lens",
    "LensStatus",
    "Needs",
    "by_id",
    "config_hash",
    "errors",
    "get",
    "list_all",
    "mark_pushed",
    "note_tracked",
    "pushed_configs",
    "register",
    "remove",
    "set_failing",
    "set_needs",
    "set_status",
]

PUSH = "cli"
"""Origin of what comes from a file; everything else is drift until a push has seen it."""

_lenses = tables.lenses.c
_SELECT = select(tables.lenses, tables.environments.c.slug.label("env")).join(tables.environments)

_BY_NAME = _SELECT.where(
    tables.environments.c.slug == bindparam("env"), _lenses.name == bindparam("name")
)


class LensStatus(StrEnum):
    """What a lens is doing."""

    PAUSED = "paused"
    INDEXING = "indexing"
    READY = "ready"
    ERROR = "error"


class Needs(StrEnum):
    """What would bring the index in sync with what was pushed (invariant 9)."""

    NOTHING = "nothing"
    SMART_SYNC = "smart_sync"
    REBUILD = "rebuild"


@dataclass(frozen=True)
class Lens:
    """One lens of one environment.

    `origin` says who registered it last (a push, the console), `pushed_at` when; `changed_at` is
    when anything of it last changed, its status included. `error` and `cure` go with the status;
    `failing_since` is when the first of the failures in a row was. `needs_you` says that a person
    has to act, `guarded` that the guard stopped its job. `tracked` is the change-tracking column
    that the last push found in the table: empty when there is none, `None` when that was never
    looked at.
    """

    id: int
    env_id: int
    env: str
    name: str
    config: LensConfig
    status: LensStatus
    needs: Needs
    error: str | None
    cure: str | None
    origin: str
    pushed_at: datetime
    changed_at: datetime
    failing_since: datetime | None = None
    needs_you: bool = False
    guarded: bool = False
    tracked: str | None = None

    @cached_property
    def config_hash(self) -> str:
        """The hash of what its configuration means to this version (see `config_hash`)."""
        return config_hash(self.config)


def config_hash(config: LensConfig) -> str:
    """Return a stable SHA-256, in hex; equal for configurations that mean the same."""
    return canonical_hash(config)


def register(
    db: Connection,
    env_id: int,
    name: str,
    config: LensConfig,
    *,
    needs: Needs,
    origin: str,
    now: datetime,
    tracked: str | None = None,
) -> Lens:
    """Add a lens, paused, or give the existing one this configuration; its status stays.

    `tracked`: what is known of its change-tracking column now (see `Lens`).
    """
    told: dict[str, Any] = {
        "config": to_json(config),
        # Processes of an older version that still run read it. Here it is made of the configuration
        # again: one that another version wrote covers other keys.
        "config_hash": config_hash(config),
        "needs": needs,
        "origin": origin,
        "pushed_at": now,
        "changed_at": now,
        "tracked": tracked,
    }
    if origin == PUSH:
        told["pushed_config"] = told["config"]
    new = insert(db, tables.lenses).values(
        env_id=env_id, name=name, status=LensStatus.PAUSED, **told
    )
    db.execute(new.on_conflict_do_update(index_elements=["env_id", "name"], set_=told))
    return _lens(db.execute(_SELECT.where(_lenses.env_id == env_id, _lenses.name == name)).one())


def get(db: Connection, env: str, name: str) -> Lens:
    """Return a lens; raise `NotFound`, with the nearest name and all that exist, when absent."""
    row = db.execute(_BY_NAME, {"env": env, "name": name}).one_or_none()
    if row is None:
        env_id = environments.get(db, env).id
        known = list(
            db.scalars(select(_lenses.name).where(_lenses.env_id == env_id).order_by(_lenses.name))
        )
        raise NotFound(
            f"There is no lens {name!r} in {env!r}{nearest(name, known)}.",
            cure=f"Lenses: {', '.join(known)}." if known else "Push one: `semilayer push`.",
        )
    return _lens(row)


def by_id(db: Connection, lens_id: int) -> Lens:
    """Return a lens; raise `NotFound` when it was removed."""
    row = db.execute(_SELECT.where(_lenses.id == lens_id)).one_or_none()
    if row is None:
        raise NotFound(
            f"Lens number {lens_id} is no longer registered.",
            cure="It was removed; push it again to bring it back.",
        )
    return _lens(row)


def list_all(db: Connection, env: str | None = None) -> list[Lens]:
    """Return every lens, or those of one environment, by environment and name."""
    query = _SELECT.order_by(tables.environments.c.slug, _lenses.name)
    if env is not None:
        query = query.where(tables.environments.c.slug == env)
    return [_lens(row) for row in db.execute(query)]


def errors(db: Connection) -> list[tuple[str, str, str]]:
    """Return environment, name and error of every lens in `error`; no configuration is read."""
    query = select(tables.environments.c.slug, _lenses.name, func.coalesce(_lenses.error, ""))
    rows = db.execute(
        query.select_from(tables.lenses.join(tables.environments)).where(
            _lenses.status == LensStatus.ERROR
        )
    )
    return [(env, name, error) for env, name, error in rows]


def pushed_configs(db: Connection, env: str) -> dict[str, LensConfig]:
    """Return what the last push of a file said of each lens of an environment, by name."""
    rows = db.execute(
        select(_lenses.name, _lenses.pushed_config)
        .join_from(tables.lenses, tables.environments)
        .where(tables.environments.c.slug == env, _lenses.pushed_config.is_not(None))
    )
    return {row.name: lens_from_json(row.pushed_config) for row in rows}


def mark_pushed(db: Connection, lens: Lens) -> None:
    """Note that a file says of a lens what the registry says; nothing else of it changes."""
    db.execute(
        update(tables.lenses)
        .where(_lenses.id == lens.id)
        .values(pushed_config=to_json(lens.config))
    )


def note_tracked(db: Connection, lens_id: int, tracked: str) -> None:
    """Note the change-tracking column that a run found: the table may have changed since a push."""
    db.execute(update(tables.lenses).where(_lenses.id == lens_id).values(tracked=tracked))


def remove(db: Connection, lens_id: int) -> None:
    """Remove a lens and every row about it; its indexes are the caller's to drop, before."""
    db.execute(delete(tables.lenses).where(_lenses.id == lens_id))


def set_status(
    db: Connection,
    lens_id: int,
    status: LensStatus,
    *,
    error: str | None = None,
    cure: str | None = None,
    now: datetime,
) -> None:
    """Set the status; `error` and `cure` replace what was there, also by nothing.

    A lens that is indexing has not shown yet that it is well: it is failing since when it was.
    """
    since = {} if status in (LensStatus.INDEXING, LensStatus.ERROR) else {"failing_since": None}
    db.execute(
        update(tables.lenses)
        .where(_lenses.id == lens_id)
        .values(
            status=status,
            error=error,
            cure=cure,
            needs_you=False,
            guarded=False,
            changed_at=now,
            **since,
        )
    )


def set_failing(
    db: Connection,
    lens_id: int,
    *,
    error: str,
    cure: str,
    needs_you: bool,
    guarded: bool = False,
    now: datetime,
) -> None:
    """Put a lens in `error`, failing since `now` if it was not before; a paused one stays so."""
    db.execute(
        update(tables.lenses)
        .where(_lenses.id == lens_id, _lenses.status != LensStatus.PAUSED)
        .values(
            status=LensStatus.ERROR,
            error=error,
            cure=cure,
            needs_you=needs_you,
            guarded=guarded,
            failing_since=func.coalesce(_lenses.failing_since, now),
            changed_at=now,
        )
    )


def set_needs(db: Connection, lens_id: int, needs: Needs, now: datetime) -> None:
    """Note what would bring the index in sync."""
    db.execute(
        update(tables.lenses).where(_lenses.id == lens_id).values(needs=needs, changed_at=now)
    )


def _lens(row: Row[Any]) -> Lens:
    return Lens(
        id=row.id,
        env_id=row.env_id,
        env=row.env,
        name=row.name,
        config=lens_from_json(row.config),
        status=LensStatus(row.status),
        needs=Needs(row.needs),
        error=row.error,
        cure=row.cure,
        origin=row.origin,
        pushed_at=row.pushed_at,
        changed_at=row.changed_at,
        failing_since=row.failing_since,
        needs_you=row.needs_you,
        guarded=row.guarded,
        tracked=row.tracked,
    )
