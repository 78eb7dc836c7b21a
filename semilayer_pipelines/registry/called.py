"""Whose calls are and which lenses they mean: many calls, one look at the registry."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.api_key import PresentedKey
from semilayer_pipelines.registry.api_keys import SELECT_KEY, ApiKey, key_of
from semilayer_pipelines.registry.sql import once, rows_given, rows_to_give

__all__ = ["Called", "CalledLens", "look_up"]

_DEBOUNCE: str = LensConfig.model_fields["debounce"].default
_keys, _lenses = tables.api_keys.c, tables.lenses.c


@dataclass(frozen=True)
class CalledLens:
    """A lens as far as a call needs it: reading all its configuration takes longer than the rest.

    `debounce` is what the configuration says.
    """

    id: int
    env: str
    name: str
    debounce: str


@dataclass(frozen=True)
class Called:
    """The key of a call, and the lens of the key's environment that it names; `None` without."""

    key: ApiKey
    lens: CalledLens | None


def look_up(
    db: Connection, calls: Iterable[tuple[PresentedKey, str]]
) -> dict[tuple[str, str], Called]:
    """Return what calls, (key, name of a lens), are about, by digest and name.

    Calls whose key does not exist or is revoked are left out.
    """
    by_id: dict[tuple[str, str], set[str]] = {}
    for presented, name in calls:
        by_id.setdefault((presented.id, name), set()).add(presented.digest)
    ids, names = zip(*by_id, strict=True) if by_id else ((), ())
    found: dict[tuple[str, str], Called] = {}
    for row in db.execute(_called(db), rows_to_give(db, key=ids, lens=names)):
        key = key_of(row)
        lens = None
        if row.lens_id is not None:
            debounce = row.debounce or _DEBOUNCE
            lens = CalledLens(row.lens_id, key.env, row.called, debounce)
        # A presented key may have a true id and a wrong secret, so it is the digest that decides.
        for digest in by_id[row.id, row.called]:
            if hmac.compare_digest(digest, row.digest):
                found[digest, row.called] = Called(key, lens)
    return found


@once
def _called(db: Connection) -> Select[Any]:
    given = rows_given(db, "key", "lens")
    named = and_(_lenses.env_id == _keys.env_id, _lenses.name == given.c.lens)
    asked = select(
        *SELECT_KEY.selected_columns,
        given.c.lens.label("called"),
        _lenses.id.label("lens_id"),
        _lenses.config["debounce"].as_string().label("debounce"),
    )
    return (
        asked.join_from(given, tables.api_keys, given.c.key == _keys.id)
        .join(tables.environments, tables.environments.c.id == _keys.env_id)
        .outerjoin(tables.lenses, named)
        .where(_keys.revoked_at.is_(None))
    )
