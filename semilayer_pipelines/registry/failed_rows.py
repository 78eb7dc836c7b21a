"""Rows that were set aside, with their reasons (invariant 8). Never the rows' contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, literal, select

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import among, insert, rows_of
from semilayer_pipelines.registry.types import UtcDateTime

__all__ = ["KEPT", "FailedRow", "clear", "count", "counts", "get", "keys", "list_all", "record"]

KEPT = 10_000
"""Failed rows kept per lens; of more, those that failed last."""

_failed = tables.failed_rows.c


@dataclass(frozen=True)
class FailedRow:
    """One row that could not be indexed: at which stage, why, how often, since when."""

    key: str
    stage: str
    reason: str
    attempts: int
    first_at: datetime
    last_at: datetime
    job_id: str


def record(
    db: Connection,
    lens_id: int,
    rows: Mapping[str, tuple[str, str]],
    *,
    job_id: str,
    now: datetime,
) -> None:
    """Note failed rows, key to (stage, reason); one that is there counts an attempt more."""
    if not rows:
        return
    stages, reasons = zip(*rows.values(), strict=True)
    given = rows_of(db, key=list(rows), stage=stages, reason=reasons)
    at = literal(now, UtcDateTime)
    chosen = select(
        literal(lens_id),
        given.c.key,
        given.c.stage,
        given.c.reason,
        literal(1),
        at,
        at,
        literal(job_id),
        # SQLite takes ON CONFLICT after a bare FROM for a join; a WHERE in between tells it apart.
    ).where(given.c.position > 0)
    names = ["lens_id", "key", "stage", "reason", "attempts", "first_at", "last_at", "job_id"]
    new = insert(db, tables.failed_rows).from_select(names, chosen)
    db.execute(
        new.on_conflict_do_update(
            index_elements=["lens_id", "key"],
            set_={
                "stage": new.excluded.stage,
                "reason": new.excluded.reason,
                "attempts": _failed.attempts + 1,
                "last_at": new.excluded.last_at,
                "job_id": new.excluded.job_id,
            },
        )
    )
    if count(db, lens_id) > KEPT:
        surplus = _latest_first(lens_id).with_only_columns(_failed.key).offset(KEPT)
        db.execute(
            delete(tables.failed_rows).where(_failed.lens_id == lens_id, _failed.key.in_(surplus))
        )


def clear(db: Connection, lens_id: int, keys: Sequence[str]) -> int:
    """Take rows off the list that went through; return how many were on it."""
    gone = delete(tables.failed_rows).where(
        _failed.lens_id == lens_id, among(db, _failed.key, keys)
    )
    return db.execute(gone).rowcount


def count(db: Connection, lens_id: int) -> int:
    """Count the failed rows of a lens."""
    return db.scalars(select(func.count()).where(_failed.lens_id == lens_id)).one()


def counts(db: Connection, env_id: int) -> dict[int, int]:
    """Count the failed rows of an environment's lenses, by id; a lens without any is left out."""
    of_env = tables.lenses.c.env_id == env_id
    rows = db.execute(
        select(_failed.lens_id, func.count())
        .join_from(tables.failed_rows, tables.lenses)
        .where(of_env)
        .group_by(_failed.lens_id)
    )
    return {lens_id: number for lens_id, number in rows}


def get(db: Connection, lens_id: int, key: str) -> FailedRow | None:
    """Return what is noted of a row, `None` when it did not fail."""
    row = db.execute(_latest_first(lens_id).where(_failed.key == key)).one_or_none()
    return None if row is None else _failed_row(row)


def keys(db: Connection, lens_id: int, limit: int) -> list[str]:
    """Return the keys of failed rows, those that failed last first."""
    query = _latest_first(lens_id).with_only_columns(_failed.key)
    return list(db.scalars(query.limit(limit)))


def list_all(
    db: Connection, lens_id: int, limit: int, *, job_id: str | None = None, skip: int = 0
) -> list[FailedRow]:
    """Return failed rows, those that failed last first; with `job_id`, those it set aside last.

    The first `skip` are left out.
    """
    query = _latest_first(lens_id).offset(skip)
    if job_id is not None:
        query = query.where(_failed.job_id == job_id)
    return [_failed_row(row) for row in db.execute(query.limit(limit))]


def _failed_row(row: Row[Any]) -> FailedRow:
    return FailedRow(
        key=row.key,
        stage=row.stage,
        reason=row.reason,
        attempts=row.attempts,
        first_at=row.first_at,
        last_at=row.last_at,
        job_id=row.job_id,
    )


def _latest_first(lens_id: int) -> Select[tuple[object, ...]]:
    return (
        select(tables.failed_rows)
        .where(_failed.lens_id == lens_id)
        .order_by(_failed.last_at.desc(), _failed.key)
    )
