"""Environments: isolated stages, each with its own lenses, jobs and indexes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select, update

from semilayer_pipelines.errors import ConfigError, NotFound, Refused, nearest
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert

__all__ = [
    "CALLS_PER_MINUTE",
    "DEFAULT_ENV",
    "Environment",
    "Tier",
    "check_known",
    "check_slug",
    "create",
    "ensure",
    "find",
    "get",
    "list_all",
    "lock",
    "remove",
    "set_tier",
]

DEFAULT_ENV = "development"
"""The environment that is meant where none is named."""

_SLUG = re.compile(r"[a-z][a-z0-9-]{0,30}")
_environments = tables.environments.c
_COLUMNS: Select[Any] = select(
    _environments.id, _environments.slug, _environments.tier, _environments.created_at
)


class Tier(StrEnum):
    """What an environment may ask of the webhook."""

    FREE = "free"
    PRO = "pro"
    TEAM = "team"
    ENTERPRISE = "enterprise"


CALLS_PER_MINUTE: dict[Tier | None, int | None] = {
    None: None,
    Tier.FREE: 10,
    Tier.PRO: 60,
    Tier.TEAM: 300,
    Tier.ENTERPRISE: None,
}
"""Ingest calls a lens takes in 60 seconds; `None`: any number (spec: "Rate limiting")."""


@dataclass(frozen=True)
class Environment:
    """One environment; its slug is in every key it issues. Without a tier nothing is limited."""

    id: int
    slug: str
    tier: Tier | None = None
    created_at: datetime | None = None


def check_slug(slug: str) -> None:
    """Raise `ConfigError` when `slug` cannot name an environment."""
    if not _SLUG.fullmatch(slug):
        raise ConfigError(
            f"{slug!r} cannot name an environment.",
            cure="Use small letters, digits and -, starting with a letter, at most 31 characters.",
        )


def ensure(db: Connection, slug: str, now: datetime) -> Environment:
    """Return the environment called `slug`, made if there is none.

    Raises `ConfigError` when `slug` cannot name one.
    """
    check_slug(slug)
    found = find(db, slug)
    if found is None:
        new = insert(db, tables.environments).values(slug=slug, created_at=now)
        db.execute(new.on_conflict_do_nothing(index_elements=["slug"]))
        found = find(db, slug)
        assert found is not None
    return found


def lock(db: Connection, env_id: int) -> None:
    """Be alone with pushing to an environment until the transaction ends."""
    # SQLite has one writer at a time anyway, and leaves FOR UPDATE out.
    db.execute(select(_environments.id).where(_environments.id == env_id).with_for_update())


def create(db: Connection, slug: str, now: datetime) -> Environment:
    """Make an environment. Raises `ConfigError` for a bad name and `Refused` if it is there."""
    check_slug(slug)
    new = insert(db, tables.environments).values(slug=slug, created_at=now)
    # Asked for what was made: with PostgreSQL no number of rows is told of an insert like this one.
    made = new.on_conflict_do_nothing(index_elements=["slug"]).returning(_environments.id)
    if db.execute(made).first() is None:
        raise Refused(
            f"There is an environment {slug!r} already.", cure="See them: semilayer envs list"
        )
    return get(db, slug)


def find(db: Connection, slug: str) -> Environment | None:
    """Return the environment called `slug`, `None` without one."""
    row = db.execute(_COLUMNS.where(tables.environments.c.slug == slug)).one_or_none()
    return None if row is None else _environment(row)


def get(db: Connection, slug: str) -> Environment:
    """Return the environment called `slug`; raise `NotFound` naming those that exist."""
    found = find(db, slug)
    if found is None:
        known = [environment.slug for environment in list_all(db)]
        there = f"Environments: {', '.join(known)}." if known else "The first push makes one."
        raise NotFound(f"There is no environment {slug!r}{nearest(slug, known)}.", cure=there)
    return found


def check_known(db: Connection, slug: str) -> None:
    """Raise `NotFound` when there are environments, and `slug` is none of them.

    The default environment always passes: nobody types its name, so it cannot be misspelt.
    """
    if slug != DEFAULT_ENV and list_all(db):
        get(db, slug)


def list_all(db: Connection) -> list[Environment]:
    """Return every environment, by slug."""
    rows = db.execute(_COLUMNS.order_by(tables.environments.c.slug))
    return [_environment(row) for row in rows]


def remove(db: Connection, env_id: int) -> None:
    """Remove an environment with its keys, sources and lenses; their indexes are the caller's."""
    db.execute(delete(tables.environments).where(_environments.id == env_id))


def set_tier(db: Connection, slug: str, tier: Tier) -> Environment:
    """Put an environment into a tier; the next call counts by it. Raises `NotFound`."""
    environment = get(db, slug)
    of_slug = update(tables.environments).where(_environments.id == environment.id)
    db.execute(of_slug.values(tier=tier))
    return get(db, slug)


def _environment(row: Row[Any]) -> Environment:
    tier = None if row.tier is None else Tier(row.tier)
    return Environment(row.id, row.slug, tier, row.created_at)
