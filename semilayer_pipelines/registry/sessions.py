"""Who is signed in to the console: a session is known by a digest, and has one key or several.

A session has no rights of its own. It can do what its keys can, each in its own environment, and
a revoked key is gone from it at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.api_keys import SELECT_KEY, ApiKey, key_of
from semilayer_pipelines.registry.sql import insert

__all__ = ["SESSION_KEPT", "add", "end", "keys", "move"]

SESSION_KEPT = timedelta(days=7)
"""How long a person stays signed in to the console."""

_sessions = tables.sessions.c


def add(db: Connection, digest: str, key: ApiKey, now: datetime) -> None:
    """Let a session use a key; one that does not exist yet begins. Old ones are forgotten."""
    db.execute(delete(tables.sessions).where(_sessions.created_at < now - SESSION_KEPT))
    new = insert(db, tables.sessions).values(digest=digest, key_id=key.id, created_at=now)
    db.execute(new.on_conflict_do_nothing(index_elements=["digest", "key_id"]))


def keys(db: Connection, digest: str, now: datetime) -> list[ApiKey]:
    """Return the keys of a session that are in force, by environment; none for an unknown one."""
    rows = db.execute(
        SELECT_KEY.join(tables.sessions, _sessions.key_id == tables.api_keys.c.id)
        .where(
            _sessions.digest == digest,
            _sessions.created_at >= now - SESSION_KEPT,
            tables.api_keys.c.revoked_at.is_(None),
        )
        .order_by(tables.environments.c.slug, tables.api_keys.c.id)
    )
    return [key_of(row) for row in rows]


def move(db: Connection, old: str, new: str) -> None:
    """Give a session another digest."""
    held = select(_sessions.key_id, _sessions.created_at).where(_sessions.digest == old)
    for key_id, created_at in db.execute(held).all():
        moved = insert(db, tables.sessions).values(digest=new, key_id=key_id, created_at=created_at)
        db.execute(moved.on_conflict_do_nothing(index_elements=["digest", "key_id"]))
    end(db, old)


def end(db: Connection, digest: str) -> None:
    """Sign a session out."""
    db.execute(delete(tables.sessions).where(_sessions.digest == digest))
