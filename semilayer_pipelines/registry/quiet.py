"""When a schedule last found that a lens has nothing to read, so that no job was made.

Its index was as new as its table then, as far as a walk of that mode sees. Without it, a lens whose
table nobody writes to would seem to fall behind.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, literal, select

from semilayer_pipelines.http.contract import Mode
from semilayer_pipelines.registry import generations, tables
from semilayer_pipelines.registry.sql import insert
from semilayer_pipelines.registry.types import UtcDateTime

__all__ = ["last", "note", "of_env"]

_quiet = tables.quiet.c


def note(db: Connection, lens_ids: Collection[int], mode: Mode, at: datetime) -> None:
    """Note that a walk of this mode had nothing to read; lenses that were removed are left out."""
    lenses = tables.lenses.c
    there = select(lenses.id, literal(mode.value), literal(at, UtcDateTime)).where(
        lenses.id.in_(lens_ids)
    )
    new = insert(db, tables.quiet).from_select(["lens_id", "mode", "at"], there)
    keys = ["lens_id", "mode"]
    db.execute(new.on_conflict_do_update(index_elements=keys, set_={"at": new.excluded.at}))


def last(db: Connection, lens_id: int, modes: Collection[Mode]) -> datetime | None:
    """Return when that was noted last for one of these modes, `None` where it never was.

    Nor does it tell anything of an index that a rollback put in the place of that time's.
    """
    noted = select(func.max(_quiet.at)).where(
        _quiet.lens_id == lens_id,
        _quiet.mode.in_(modes),
        ~generations.rolled_back_since(lens_id, _quiet.at),
    )
    found: datetime | None = db.scalar(noted)
    return found


def of_env(db: Connection, env: str, modes: Collection[Mode]) -> dict[int, datetime]:
    """Return the same for the lenses of an environment, by id."""
    lenses, environments = tables.lenses, tables.environments
    noted = (
        select(_quiet.lens_id, func.max(_quiet.at))
        .select_from(tables.quiet.join(lenses).join(environments))
        .where(environments.c.slug == env, _quiet.mode.in_(modes))
        .group_by(_quiet.lens_id)
    )
    return {lens_id: at for lens_id, at in db.execute(noted)}
