"""The keys of environments: issued once, known by their hash, revoked for good.

`check` is the only judge of a key. No function here returns or takes a key's text but `create`,
which is also the only moment at which there is one.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from semilayer_pipelines.errors import ConfigError, NotFound
from semilayer_pipelines.registry import environments, tables
from semilayer_pipelines.registry.api_key import KeyKind, PresentedKey, new_key, parse_key
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.environments import Tier

__all__ = [
    "SELECT_KEY",
    "ApiKey",
    "check",
    "create",
    "is_stale",
    "key_of",
    "list_all",
    "recognise",
    "revoke",
    "touch",
]

USED_EVERY = timedelta(minutes=1)
"""How old the noted last use gets before another one is noted."""

NAME_LENGTH = 100
"""Characters of a key's name."""


_keys = tables.api_keys.c
SELECT_KEY = select(
    tables.api_keys,
    tables.environments.c.slug.label("env"),
    tables.environments.c.tier.label("tier"),
).join(tables.environments)
"""Keys with the names and tiers of their environments; read the rows with `key_of`."""

_VALID = SELECT_KEY.where(
    _keys.id.in_(bindparam("ids", expanding=True)), _keys.revoked_at.is_(None)
)


@dataclass(frozen=True)
class ApiKey:
    """One key, without its secret; `env_tier` is what its environment may ask for."""

    id: str
    env_id: int
    env: str
    env_tier: Tier | None
    kind: KeyKind
    name: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def create(
    db: Connection,
    env: str,
    kind: KeyKind,
    name: str,
    *,
    choose: Callable[[str], str],
    now: datetime,
) -> tuple[ApiKey, str]:
    """Issue a key; return it and its text, which nobody can show again.

    `choose` is the source of chance (see `new_key`). Raises `NotFound` for the environment and
    `ConfigError` for a name that is empty or too long.
    """
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise ConfigError(
            f"A key's name has 1 to {NAME_LENGTH} printable characters.",
            cure="Name what will use it, such as ci-cdc-pipeline.",
        )
    env_id = environments.get(db, env).id
    text = new_key(kind, env, choose)
    parsed = parse_key(text)
    assert parsed is not None, "a new key is well-formed"
    db.execute(
        insert(tables.api_keys).values(
            id=parsed.id,
            env_id=env_id,
            kind=kind,
            name=name.strip(),
            digest=parsed.digest,
            created_at=now,
        )
    )
    return key_of(db.execute(SELECT_KEY.where(_keys.id == parsed.id)).one()), text


def check(db: Connection, presented: Iterable[PresentedKey]) -> dict[str, ApiKey]:
    """Return, by digest, those of the presented keys that exist and are not revoked."""
    by_id: dict[str, list[PresentedKey]] = {}
    for key in presented:
        by_id.setdefault(key.id, []).append(key)
    rows = db.execute(_VALID, {"ids": sorted(by_id)})
    # A presented key may have a true id and a wrong secret, so it is the digest that decides.
    return {
        key.digest: key_of(row)
        for row in rows
        for key in by_id[row.id]
        if hmac.compare_digest(key.digest, row.digest)
    }


def recognise(
    registry: Registry, presented: PresentedKey, clock: Callable[[], datetime]
) -> ApiKey | None:
    """Return a presented key that exists and is not revoked, and note that it is used.

    `None` for any other. Raises `RegistryUnavailable`.
    """
    with registry.read() as db:
        known = check(db, [presented]).get(presented.digest)
    # By the registry's clock, which is known once it was read.
    if known is not None and is_stale(known, now := clock()):
        with registry.begin() as db:
            touch(db, [known], now)
    return known


def is_stale(key: ApiKey, now: datetime) -> bool:
    """Say whether it is time to note that a key is used."""
    return key.last_used_at is None or now - key.last_used_at >= USED_EVERY


def touch(db: Connection, keys: Iterable[ApiKey], now: datetime) -> None:
    """Note that keys were used; writes at most once a minute for each."""
    # One by one and sorted, so that two who note several lock them in one order.
    for id in sorted({key.id for key in keys if is_stale(key, now)}):
        db.execute(update(tables.api_keys).where(_keys.id == id).values(last_used_at=now))


def list_all(db: Connection, env: str) -> list[ApiKey]:
    """Return the keys of an environment, revoked ones too, the oldest first. Raises `NotFound`."""
    env_id = environments.get(db, env).id
    rows = db.execute(SELECT_KEY.where(_keys.env_id == env_id).order_by(_keys.created_at, _keys.id))
    return [key_of(row) for row in rows]


def revoke(db: Connection, env: str, id: str, now: datetime) -> ApiKey:
    """Revoke a key for good, if that was not done before. Raises `NotFound`."""
    known = {key.id: key for key in list_all(db, env)}
    if id not in known:
        raise NotFound(
            f"There is no key with this id in {env!r}.", cure="`semilayer keys list` shows them."
        )
    first = update(tables.api_keys).where(_keys.id == id, _keys.revoked_at.is_(None))
    db.execute(first.values(revoked_at=now))
    return key_of(db.execute(SELECT_KEY.where(_keys.id == id)).one())


def key_of(row: Row[Any]) -> ApiKey:
    """Return the key that a row of `SELECT_KEY` describes."""
    return ApiKey(
        id=row.id,
        env_id=row.env_id,
        env=row.env,
        env_tier=None if row.tier is None else Tier(row.tier),
        kind=KeyKind(row.kind),
        name=row.name,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
