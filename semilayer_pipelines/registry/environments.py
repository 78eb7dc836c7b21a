"""Environments: isolated stages, each with its own lenses, jobs and indexes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from semilayer_pipelines.errors import ConfigError, NotFound
from semilayer_pipelines.nearest import nearest
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert

__all__ = ["Environment", "ensure", "get", "list_all"]

_SLUG = re.compile(r"[a-z][a-z0-9-]{0,30}")
_COLUMNS = select(tables.environments.c.id, tables.environments.c.slug)


@dataclass(frozen=True)
class Environment:
    """One environment; its slug is in every key it issues."""

    id: int
    slug: str


def ensure(db: Connection, slug: str, now: datetime) -> Environment:
    """Return the environment called `slug`, made if there is none.

    Raises `ConfigError` when `slug` cannot name one.
    """
    if not _SLUG.fullmatch(slug):
        raise ConfigError(
            f"{slug!r} cannot name an environment.",
            cure="Use small letters, digits and -, starting with a letter, at most 31 characters.",
        )
    found = _find(db, slug)
    if found is None:
        new = insert(db, tables.environments).values(slug=slug, created_at=now)
        db.execute(new.on_conflict_do_nothing(index_elements=["slug"]))
        found = _find(db, slug)
        assert found is not None
    return found


def get(db: Connection, slug: str) -> Environment:
    """Return the environment called `slug`; raise `NotFound` naming those that exist."""
    found = _find(db, slug)
    if found is None:
        known = [environment.slug for environment in list_all(db)]
        raise NotFound(
            f"There is no environment {slug!r}{nearest(slug, known)}.",
            cure=f"Environments: {', '.join(known) or 'none yet'}.",
        )
    return found


def list_all(db: Connection) -> list[Environment]:
    """Return every environment, by slug."""
    rows = db.execute(_COLUMNS.order_by(tables.environments.c.slug))
    return [Environment(row.id, row.slug) for row in rows]


def _find(db: Connection, slug: str) -> Environment | None:
    row = db.execute(_COLUMNS.where(tables.environments.c.slug == slug)).one_or_none()
    return None if row is None else Environment(row.id, row.slug)
