"""Sources: named connections. `${VAR}` stays as it was written; no secret is kept here."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import NotFound, nearest
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert
from semilayer_pipelines.registry.stored_config import source_from_json, to_json

__all__ = ["any_follows", "get", "list_all", "put", "remove"]

_sources = tables.sources.c


def put(db: Connection, env_id: int, name: str, config: SourceConfig) -> None:
    """Keep a source, in place of the one of that name."""
    new = insert(db, tables.sources).values(env_id=env_id, name=name, config=to_json(config))
    db.execute(
        new.on_conflict_do_update(
            index_elements=["env_id", "name"], set_={"config": new.excluded.config}
        )
    )


def remove(db: Connection, env_id: int, name: str) -> None:
    """Forget a source."""
    db.execute(delete(tables.sources).where(_sources.env_id == env_id, _sources.name == name))


def get(db: Connection, env_id: int, name: str) -> SourceConfig:
    """Return a source; raise `NotFound` naming those that exist."""
    known = list_all(db, env_id)
    if name not in known:
        raise NotFound(
            f"There is no source {name!r}{nearest(name, known)}.",
            cure=f"Sources of this environment: {', '.join(known) or 'none yet'}.",
        )
    return known[name]


def list_all(db: Connection, env_id: int) -> dict[str, SourceConfig]:
    """Return every source of an environment, by name."""
    rows = db.execute(
        select(_sources.name, _sources.config)
        .where(_sources.env_id == env_id)
        .order_by(_sources.name)
    )
    return {row.name: source_from_json(row.config) for row in rows}


def any_follows(db: Connection) -> bool:
    """Say whether a source of any environment says how its changes are followed."""
    configs = db.scalars(select(_sources.config))
    return any(source_from_json(config).cdc is not None for config in configs)
