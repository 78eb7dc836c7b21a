"""Whom an environment tells, what is wrong, and how far telling it has come.

A row is something that is wrong, for one address that is told of it. It is there from the first
look that finds it until the address was told that it is over. Whoever claims a row sends what it
says; a claim is a compare-and-set, so one of several gets it. A claim ends by itself: after a crash
between sending and noting that, the same is sent a second time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, or_, select, update

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.config.base import STORED
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.environments import Environment
from semilayer_pipelines.registry.sql import insert

__all__ = [
    "CLAIM",
    "FIRST_RESEND",
    "GIVE_UP_AFTER",
    "LONGEST_RESEND",
    "Addresses",
    "Alert",
    "Key",
    "Kind",
    "Notice",
    "addresses",
    "claim",
    "failed",
    "note",
    "notices",
    "set_addresses",
    "told",
]

CLAIM = timedelta(minutes=1)
"""How long a program that died while it told somebody keeps the others from telling it."""

FIRST_RESEND = timedelta(minutes=1)
"""An alert that an address did not take is sent again after so long, then twice as long, …"""

LONGEST_RESEND = timedelta(hours=1)
"""… and never after longer than this."""

GIVE_UP_AFTER = timedelta(days=1)
"""An alert that an address has not taken for so long is sent no more."""

_rows = tables.alerts.c
_DUE_LOOKED_AT = 100


class Kind(StrEnum):
    """What can be wrong."""

    ERROR = "error"
    GUARD = "guard"
    BEHIND = "behind"
    FAILED_ROWS = "failed_rows"
    DAEMON = "daemon"


Key = tuple[str, Kind]
"""What tells an alert from every other one of its environment: a lens's name, and the kind."""


@dataclass(frozen=True)
class Alert:
    """Something that is wrong since a moment; `lens` is empty where it is no single lens."""

    lens: str
    kind: Kind
    since: datetime
    message: str
    cure: str

    @property
    def key(self) -> Key:
        """The lens's name and the kind."""
        return self.lens, self.kind


@dataclass(frozen=True)
class Addresses:
    """Whom an environment tells; `project` is the stack that the file names."""

    env: Environment
    project: str
    to: tuple[AlertConfig, ...]


@dataclass(frozen=True)
class Notice:
    """An alert for one address.

    `told_at`: when the address took it, `None` before. `well_since`: it is well again, and not for
    long enough. `over`: that is to be told. `due_at` is when it was first to be sent, `next_try_at`
    when it is sent next, or until when it is claimed; `None`: nothing is to be sent. `trouble` says
    why the address did not take it.
    """

    env_id: int
    target: str
    alert: Alert
    told_at: datetime | None
    well_since: datetime | None
    over: bool
    due_at: datetime
    next_try_at: datetime | None
    tries: int
    trouble: str | None

    @property
    def given_up(self) -> bool:
        """Whether the address will not hear of it."""
        return self.told_at is None and self.next_try_at is None


def set_addresses(db: Connection, env_id: int, project: str, alerts: Sequence[AlertConfig]) -> None:
    """Let an environment tell these addresses and no other. What others were told is forgotten."""
    to = [one.model_dump(mode="json", by_alias=True) for one in alerts]
    stored = {"project": project, "to": to} if to else None
    of_env = tables.environments.c.id == env_id
    db.execute(update(tables.environments).where(of_env).values(alerts=stored))
    named = [one.url for one in alerts]
    db.execute(delete(tables.alerts).where(_rows.env_id == env_id, _rows.target.not_in(named)))


def addresses(db: Connection, env: str | None = None) -> list[Addresses]:
    """Return whom the environments tell, or one of them; those that tell nobody are left out."""
    envs = tables.environments.c
    query = select(tables.environments).where(envs.alerts.is_not(None)).order_by(envs.slug)
    if env is not None:
        query = query.where(envs.slug == env)
    return [
        Addresses(
            Environment(row.id, row.slug, created_at=row.created_at),
            row.alerts["project"],
            tuple(AlertConfig.model_validate(one, context=STORED) for one in row.alerts["to"]),
        )
        for row in db.execute(query)
    ]


def note(
    db: Connection,
    env_id: int,
    target: str,
    wrong: Sequence[Alert],
    unsure: Collection[Key],
    *,
    well_for: timedelta,
    now: datetime,
) -> None:
    """Bring the rows of an address up to date with what a look found.

    What is wrong begins; what is wrong no more is over once it has been well `well_for`. A row of
    `unsure` that is not wrong stays as it is.
    """
    known = {one.alert.key: one for one in notices(db, env_id) if one.target == target}
    for alert in wrong:
        if alert.key not in known:
            _begin(db, env_id, target, alert, now)
        else:
            _go_on(db, known[alert.key], alert, now)
    keys = {alert.key for alert in wrong}
    for key, notice in known.items():
        if key not in keys and key not in unsure:
            _is_well(db, notice, well_for, now)


def _begin(db: Connection, env_id: int, target: str, alert: Alert, now: datetime) -> None:
    new = insert(db, tables.alerts).values(
        env_id=env_id,
        target=target,
        lens=alert.lens,
        kind=alert.kind,
        since=alert.since,
        message=alert.message,
        cure=alert.cure,
        due_at=now,
        next_try_at=now,
    )
    db.execute(new.on_conflict_do_nothing())


def _go_on(db: Connection, notice: Notice, alert: Alert, now: datetime) -> None:
    """Keep a row whose alert is still wrong, or wrong again before its end was told."""
    if notice.well_since is not None:
        again = {"well_since": None, "over": False, "next_try_at": None, "trouble": None}
        db.execute(_update(notice, _not_under_way(now)).values(**again))
    elif notice.told_at is None and alert != notice.alert:
        new = {"message": alert.message, "cure": alert.cure}
        db.execute(_update(notice, _rows.told_at.is_(None)).values(**new))


def _is_well(db: Connection, notice: Notice, well_for: timedelta, now: datetime) -> None:
    if notice.told_at is None:
        # Nobody was told that it is wrong, so nobody is told that it is over.
        untold = and_(_rows.told_at.is_(None), _not_under_way(now))
        db.execute(delete(tables.alerts).where(_is(notice), untold))
    elif notice.well_since is None:
        db.execute(_update(notice, _rows.well_since.is_(None)).values(well_since=now))
    elif not notice.over and now - notice.well_since >= well_for:
        over = {"over": True, "due_at": now, "next_try_at": now, "tries": 0}
        db.execute(_update(notice, _rows.over.is_(False)).values(**over))


def claim(db: Connection, now: datetime, *, among: Collection[tuple[int, str]]) -> Notice | None:
    """Return what is to be sent next, for the caller alone; `None` when nothing is.

    `among` are environments, each with an address of its own, that the caller can send to.
    """
    wanted = or_(*(and_(_rows.env_id == env, _rows.target == target) for env, target in among))
    # What waits for longer than anything may was noted by a clock that was wrong.
    ours = or_(_rows.next_try_at <= now, _rows.next_try_at > now + LONGEST_RESEND + CLAIM)
    due = select(tables.alerts).where(ours, wanted)
    for row in db.execute(due.order_by(_rows.next_try_at).limit(_DUE_LOOKED_AT)).all():
        notice = _notice(row)
        mine = replace(notice, next_try_at=now + CLAIM, tries=notice.tries + 1)
        taken = _update(notice, _rows.next_try_at == notice.next_try_at).values(
            next_try_at=mine.next_try_at, tries=mine.tries
        )
        if db.execute(taken).rowcount:
            return mine
    return None


def told(db: Connection, notice: Notice, now: datetime) -> None:
    """Note that the address took what was claimed; an alert that is over is gone then."""
    mine = _rows.next_try_at == notice.next_try_at
    if notice.over:
        db.execute(delete(tables.alerts).where(_is(notice), mine))
    else:
        done = {"told_at": now, "next_try_at": None, "tries": 0, "trouble": None}
        db.execute(_update(notice, mine).values(**done))


def failed(db: Connection, notice: Notice, trouble: str, now: datetime) -> None:
    """Note that the address did not take what was claimed, and when it is sent again, if ever."""
    mine = _rows.next_try_at == notice.next_try_at
    if now - notice.due_at < GIVE_UP_AFTER:
        wait = min(LONGEST_RESEND, FIRST_RESEND * 2 ** min(notice.tries - 1, 20))
        db.execute(_update(notice, mine).values(next_try_at=now + wait, trouble=trouble))
    elif notice.over:
        db.execute(delete(tables.alerts).where(_is(notice), mine))
    else:
        db.execute(_update(notice, mine).values(next_try_at=None, trouble=trouble))


def notices(db: Connection, env_id: int) -> list[Notice]:
    """Return what is wrong, or over and not told yet, the oldest first."""
    query = select(tables.alerts).where(_rows.env_id == env_id)
    found = db.execute(query.order_by(_rows.since, _rows.lens, _rows.kind, _rows.target))
    return [_notice(row) for row in found]


def _update(notice: Notice, only: ColumnElement[bool]) -> Any:
    return update(tables.alerts).where(_is(notice), only)


def _is(notice: Notice) -> ColumnElement[bool]:
    return and_(
        _rows.env_id == notice.env_id,
        _rows.target == notice.target,
        _rows.lens == notice.alert.lens,
        _rows.kind == notice.alert.kind,
    )


def _not_under_way(now: datetime) -> ColumnElement[bool]:
    """Say of a row that nobody sends it now."""
    return or_(_rows.next_try_at.is_(None), _rows.next_try_at <= now)


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        env_id=row.env_id,
        target=row.target,
        alert=Alert(row.lens, Kind(row.kind), row.since, row.message, row.cure),
        told_at=row.told_at,
        well_since=row.well_since,
        over=row.over,
        due_at=row.due_at,
        next_try_at=row.next_try_at,
        tries=row.tries,
        trouble=row.trouble,
    )
