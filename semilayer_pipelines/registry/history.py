"""What the lenses of an environment did over a time, in periods of equal length.

The database adds up, so that a day of pages comes back as a few numbers per lens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    cast,
    extract,
    func,
    literal_column,
    select,
)

from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import quiet, tables

__all__ = ["LensHistory", "history"]

_jobs = tables.jobs.c
_pages = tables.page_log.c
_WALKS = (Mode.FULL, Mode.INCREMENTAL, Mode.SMART_SYNC)

_began_at = func.coalesce(tables.generations.c.created_at, _jobs.started_at)
"""A full ingest began with its generation, as in `jobs.last_began`."""


@dataclass(frozen=True)
class LensHistory:
    """One lens over the periods, the oldest first.

    `rates` are the rows a second while pages were at work, 0 where none was. `behind` are seconds
    at the end of each period since the last walk began that had completed by then; `None` before
    the first. While nothing was written since that walk, the index does not get older.
    """

    rates: tuple[float, ...]
    behind: tuple[float | None, ...]


def history(
    db: Connection, env: str, since: datetime, period: timedelta, periods: int, now: datetime
) -> dict[int, LensHistory]:
    """Return what each lens of an environment did, by its id; a lens that did nothing has none."""
    rows = _rows(db, env, since, period)
    began, before = _began(db, env, since, period), _began_before(db, env, since)
    unwritten = quiet.of_env(db, env, _WALKS)
    ends = [min(since + period * (at + 1), now) for at in range(periods)]
    return {
        lens_id: LensHistory(
            tuple(rows.get(lens_id, {}).get(at, 0.0) for at in range(periods)),
            _behind(
                before.get(lens_id), began.get(lens_id, {}), unwritten.get(lens_id, since), ends
            ),
        )
        for lens_id in rows.keys() | began.keys() | before.keys()
    }


def _period(at: Column[datetime], since: datetime, period: timedelta) -> ColumnElement[int]:
    seconds = cast(extract("epoch", at), Integer) - int(since.timestamp())
    # Written out: a parameter in it would make it another expression than the one grouped by.
    return seconds // literal_column(str(int(period.total_seconds())), Integer)


def _rows(
    db: Connection, env: str, since: datetime, period: timedelta
) -> dict[int, dict[int, float]]:
    at = _period(_pages.at, since, period).label("period")
    found = db.execute(
        select(_jobs.lens_id, at, func.sum(_pages.rows), func.sum(_pages.seconds))
        .select_from(tables.page_log)
        .join(tables.jobs)
        .join(tables.lenses)
        .join(tables.environments)
        .where(tables.environments.c.slug == env, _pages.at >= since)
        .group_by(_jobs.lens_id, at)
    )
    rates: dict[int, dict[int, float]] = {}
    for lens_id, number, rows, seconds in found:
        rates.setdefault(lens_id, {})[int(number)] = rows / seconds if seconds else 0.0
    return rates


def _began(
    db: Connection, env: str, since: datetime, period: timedelta
) -> dict[int, dict[int, datetime]]:
    at = _period(_jobs.ended_at, since, period).label("period")
    found = db.execute(
        select(_jobs.lens_id, at, func.max(_began_at))
        .select_from(tables.jobs)
        .outerjoin(tables.generations, tables.generations.c.job_id == _jobs.id)
        .join(tables.lenses, tables.lenses.c.id == _jobs.lens_id)
        .join(tables.environments)
        .where(tables.environments.c.slug == env, _jobs.ended_at >= since, _completed_walk())
        .group_by(_jobs.lens_id, at)
    )
    began: dict[int, dict[int, datetime]] = {}
    for lens_id, number, started in found:
        began.setdefault(lens_id, {})[int(number)] = started
    return began


def _began_before(db: Connection, env: str, since: datetime) -> dict[int, datetime]:
    found = db.execute(
        select(_jobs.lens_id, func.max(_began_at))
        .select_from(tables.jobs)
        .outerjoin(tables.generations, tables.generations.c.job_id == _jobs.id)
        .join(tables.lenses, tables.lenses.c.id == _jobs.lens_id)
        .join(tables.environments)
        .where(tables.environments.c.slug == env, _jobs.ended_at < since, _completed_walk())
        .group_by(_jobs.lens_id)
    )
    return {lens_id: started for lens_id, started in found}


def _completed_walk() -> ColumnElement[bool]:
    return (_jobs.status == JobStatus.COMPLETED) & _jobs.mode.in_(_WALKS)


def _behind(
    last: datetime | None, began: dict[int, datetime], unwritten: datetime, ends: Sequence[datetime]
) -> tuple[float | None, ...]:
    """Return the ages; nothing was read up to `unwritten` that the last of all walks had not."""
    newest = max([*began.values(), *([] if last is None else [last])], default=None)
    found: list[float | None] = []
    for at, end in enumerate(ends):
        if at in began:
            last = began[at] if last is None else max(last, began[at])
        if last is None:
            found.append(None)
            continue
        current = max(last, min(end, unwritten)) if last == newest else last
        found.append(max(0.0, (end - current).total_seconds()))
    return tuple(found)
