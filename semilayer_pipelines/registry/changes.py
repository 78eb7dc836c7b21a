"""The change buffer and, until `prune`, the log of applied changes.

A change is buffered until it is applied: claimed by a records job, written, acknowledged. While a
generation is built, the log also has what walks write (`log`), so that it can catch up. Sequence
numbers of one lens become visible in their order, so that "newer than" never misses one
(invariants 2, 4 and 7). In a transaction that also makes jobs, append first (see `registry.jobs`).

A change may name its row before the source shows it: it is put off, and nobody claims it before its
time, unless a newer change of its key comes. One whose key is spelled otherwise than the source
writes it is renamed by the job that found that out, so that the rest of the log knows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningInsert

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.http.contract import Action, JobStatus
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.generations import GenerationState
from semilayer_pipelines.registry.sql import (
    among,
    insert,
    insert_all,
    next_number,
    once,
    rows_given,
    rows_of,
    rows_to_give,
    writes_twice,
)
from semilayer_pipelines.registry.types import UtcDateTime

__all__ = [
    "Action",
    "Change",
    "Pruned",
    "ack",
    "append",
    "awaited",
    "buffered",
    "claim",
    "latest_seq",
    "log",
    "looked_at",
    "newer_than",
    "newest",
    "next_look",
    "prune",
    "put_off",
    "release",
    "release_lost",
    "rename",
    "reopen",
    "since",
    "waiting",
    "waiting_since",
]

_changes = tables.changes.c


@dataclass(frozen=True)
class Change:
    """One change of a key; `seq` says where it stands in the log.

    `looks`: how often its row was looked for in vain. Below zero, how often it was found and has to
    be looked at again.
    """

    seq: int
    key: str
    action: Action
    looks: int = 0


@dataclass(frozen=True)
class Pruned:
    """What was deleted of a stretch of the log up to number `end`; `None` for the last one."""

    changes: int
    end: int | None


def append(
    db: Connection, lens_id: int, changes: Sequence[tuple[str, Action]], now: datetime
) -> int:
    """Buffer changes, (key, action), in their order; return how many are buffered then.

    Another `append` to the same lens waits until this transaction ends. Raises `NotFound` when the
    lens was removed.
    """
    given: dict[str, Any] = {"lens": lens_id, "now": now, "size": len(changes)}
    keys = [key for key, _ in changes]
    actions = {action for _, action in changes}
    if len(actions) == 1:  # nearly always, and half the work
        appended = _append_alike(db)
        given |= {"action": actions.pop().value, **rows_to_give(db, key=keys)}
    else:
        appended = _append_any(db)
        given |= rows_to_give(db, key=keys, action=[action.value for _, action in changes])
    try:
        if changes and writes_twice(db):
            return int(db.execute(appended, given).scalar_one())
        size = _resize(db, lens_id, len(changes))
    except IntegrityError:
        raise NotFound("The lens was removed; its changes have nowhere to go.") from None
    if changes:
        db.execute(appended, given)
    return size


def claim(db: Connection, lens_id: int, *, job_id: str, limit: int, now: datetime) -> list[Change]:
    """Claim for a job the keys of the `limit` oldest unclaimed changes; one change a key.

    What is put off until after `now` is left out. Every other unclaimed change of these keys is
    claimed with them, and the last one is given: it wins. In order of the log. Another `claim` of,
    or `append` to, the same lens waits until this transaction ends, and this one for theirs.
    """
    # Waits for the buffer's row instead of skipping locked changes: all changes of a key have to go
    # to the same job, or an earlier action could be applied after a later one. Lenses do not wait
    # for each other.
    size = select(tables.buffers.c.size).where(tables.buffers.c.lens_id == lens_id)
    if not db.scalar(size.with_for_update()):
        return []
    unclaimed = and_(
        _changes.lens_id == lens_id, _changes.applied_at.is_(None), _changes.job_id.is_(None)
    )
    due = or_(_changes.not_before.is_(None), _changes.not_before <= now)
    oldest = select(_changes.key).where(unclaimed, due).order_by(_changes.seq).limit(limit)
    keys = list(dict.fromkeys(db.scalars(oldest)))
    claimed = db.execute(
        update(tables.changes)
        .where(unclaimed, among(db, _changes.key, keys))
        .values(job_id=job_id)
        .returning(_changes.seq, _changes.key, _changes.action, _changes.looks)
    )
    # Ascending, so that of a key's changes the last one stays.
    last = {row.key: _change(*row) for row in sorted(claimed, key=lambda row: row.seq)}
    return sorted(last.values(), key=lambda change: change.seq)


def ack(db: Connection, job_id: str, keys: Sequence[str], now: datetime) -> int:
    """Note as applied what a job claimed of these keys; return how many changes that were."""
    applied = db.scalars(
        update(tables.changes)
        .where(_claimed_by(job_id), among(db, _changes.key, keys))
        .values(applied_at=now)
        .returning(_changes.lens_id)
    )
    counted = Counter(applied)
    for lens_id, number in counted.items():  # one: a job is a lens's
        _resize(db, lens_id, -number)
    return counted.total()


def release(db: Connection, job_id: str) -> int:
    """Give back what a job claimed and did not acknowledge; return how many changes."""
    freed = update(tables.changes).where(_claimed_by(job_id)).values(job_id=None)
    return db.execute(freed).rowcount


def release_lost(db: Connection) -> set[int]:
    """Give back what jobs claimed that do not run (any more); return whose changes, by lens."""
    runs = select(tables.jobs.c.id).where(tables.jobs.c.status == JobStatus.RUNNING)
    lost = and_(
        _changes.job_id.is_not(None), _changes.applied_at.is_(None), _changes.job_id.not_in(runs)
    )
    freed = update(tables.changes).where(lost).values(job_id=None)
    return set(db.scalars(freed.returning(_changes.lens_id)))


def put_off(
    db: Connection, job_id: str, keys: Sequence[str], until: datetime, *, found: bool = False
) -> int:
    """Give back changes of these keys whose rows were not there, or were `found`; return how many.

    They are not claimed before `until`. A look that finds ends the count of those in vain.
    """
    looks = _changes.looks
    counted = (
        case((looks > 0, -1), else_=looks - 1) if found else case((looks < 0, 1), else_=looks + 1)
    )
    later = (
        update(tables.changes)
        .where(_claimed_by(job_id), among(db, _changes.key, keys))
        .values(job_id=None, looks=counted, not_before=until)
    )
    return db.execute(later).rowcount


def rename(db: Connection, job_id: str, names: Mapping[str, str]) -> None:
    """Give claimed changes the keys of their rows; `names` has them by the keys that were told."""
    given = rows_of(db, key=list(names), name=list(names.values()))
    name = select(given.c.name).where(given.c.key == _changes.key).scalar_subquery()
    db.execute(
        update(tables.changes)
        .where(_claimed_by(job_id), among(db, _changes.key, list(names)))
        .values(key=name)
    )


def awaited(db: Connection, lens_id: int) -> int:
    """Return how many changes of a lens wait for rows that were not there."""
    return _count_put_off(db, lens_id, _changes.looks > 0)


def looked_at(db: Connection, lens_id: int) -> int:
    """Return how many changes of a lens were put off, whether their rows were there or not."""
    return _count_put_off(db, lens_id, true())


def _count_put_off(db: Connection, lens_id: int, which: ColumnElement[bool]) -> int:
    waits = select(func.count()).where(
        _changes.lens_id == lens_id,
        _changes.applied_at.is_(None),
        _changes.not_before.is_not(None),
        which,
    )
    return db.scalar(waits) or 0


def next_look(db: Connection, lens_id: int) -> datetime | None:
    """Return when the first of the changes that were put off is due, `None` without one."""
    first = select(func.min(_changes.not_before)).where(
        _changes.lens_id == lens_id, _changes.applied_at.is_(None), _changes.job_id.is_(None)
    )
    found: datetime | None = db.scalar(first)
    return found


def buffered(db: Connection, lens_id: int) -> int:
    """Return how many changes of a lens are not applied yet, claimed or not."""
    size = select(tables.buffers.c.size).where(tables.buffers.c.lens_id == lens_id)
    return db.scalar(size) or 0


def waiting_since(db: Connection, lens_id: int) -> datetime | None:
    """Return when the oldest change that is not applied was buffered, `None` without one."""
    unapplied = select(_changes.created_at).where(
        _changes.lens_id == lens_id, _changes.applied_at.is_(None)
    )
    return db.scalar(unapplied.order_by(_changes.seq).limit(1))


def waiting(db: Connection, lens_id: int, keys: Sequence[str], after: int) -> list[Change]:
    """Return the changes of these keys that wait or came after `after`, the oldest first."""
    of_keys = and_(_changes.lens_id == lens_id, among(db, _changes.key, keys))
    rows = db.execute(
        select(_changes.seq, _changes.key, _changes.action, _changes.looks)
        .where(of_keys, or_(_changes.applied_at.is_(None), _changes.seq > after))
        .order_by(_changes.seq)
    )
    return [_change(*row) for row in rows]


def log(db: Connection, lens_id: int, keys: Sequence[str], *, job_id: str, now: datetime) -> None:
    """Note keys that a job is about to write or drop as changes that are applied already.

    For whoever replays the log: it looks each of them up. Another `append` to the same lens waits
    until this transaction ends.
    """
    _resize(db, lens_id, 0)
    given = rows_of(db, key=keys)
    noted = select(
        literal(lens_id),
        given.c.key,
        literal(Action.UPSERT.value),
        literal(now, UtcDateTime),
        literal(job_id),
        literal(now, UtcDateTime),
        true(),
    )
    names = ["lens_id", "key", "action", "created_at", "job_id", "applied_at", "noted"]
    db.execute(insert_all(db, tables.changes).from_select(names, noted.order_by(given.c.position)))


def reopen(
    db: Connection, lens_id: int, after: int, *, begun_seq: int = 0, begun_at: datetime
) -> int:
    """Buffer again what was applied of the changes after number `after`; return how many.

    So is what waited at number `begun_seq`, when a copy was begun at `begun_at`, and was applied
    since: nobody replayed it. The last change of a key alone, because an earlier one must not win.
    """
    waited = and_(
        _changes.seq <= begun_seq,
        _changes.applied_at >= begun_at,
        _changes.seq == _last_seq(lens_id, _changes.key),
    )
    missed = or_(and_(_changes.seq > after, _changes.applied_at.is_not(None)), waited)
    opened = (
        update(tables.changes)
        .where(_changes.lens_id == lens_id, missed)
        .values(applied_at=None, job_id=None, not_before=None, noted=False)
    )
    reopened = db.execute(opened).rowcount
    if reopened:
        _resize(db, lens_id, reopened)
    return reopened


def latest_seq(db: Connection, lens_id: int) -> int:
    """Return the number of a lens's last change, 0 when there is none."""
    return db.scalar(select(func.max(_changes.seq)).where(_changes.lens_id == lens_id)) or 0


def newer_than(db: Connection, lens_id: int, keys: Sequence[str], seq: int) -> set[str]:
    """Return those of `keys` that callers told a change of after `seq`, applied or not."""
    newer = select(_changes.seq).where(
        _changes.lens_id == lens_id, _changes.seq > seq, _changes.noted.is_(False)
    )
    # Nearly always there is none, and the keys need not travel to the database.
    if db.execute(newer.limit(1)).first() is None:
        return set()
    given = rows_of(db, key=keys)
    return set(
        db.scalars(select(given.c.key).where(_last_seq(lens_id, given.c.key, told=True) > seq))
    )


def newest(db: Connection, lens_id: int, keys: Sequence[str]) -> dict[str, int]:
    """Return the numbers of the last changes of these keys that callers told of, applied or not."""
    given = rows_of(db, key=keys)
    rows = db.execute(select(given.c.key, _last_seq(lens_id, given.c.key, told=True).label("seq")))
    return {row.key: row.seq for row in rows if row.seq}


def since(
    db: Connection, lens_id: int, seq: int, limit: int, *, upto: int | None = None
) -> list[Change]:
    """Return the changes after `seq`, applied or not, oldest first, at most `limit`.

    None comes after number `upto`. A key may be among them more than once. The next ones are those
    after the last one's `seq`.
    """
    asked = select(_changes.seq, _changes.key, _changes.action, _changes.looks).where(
        _changes.lens_id == lens_id, _changes.seq > seq
    )
    if upto is not None:
        asked = asked.where(_changes.seq <= upto)
    return [_change(*row) for row in db.execute(asked.order_by(_changes.seq).limit(limit))]


def prune(db: Connection, applied_before: datetime, *, after: int, limit: int) -> Pruned:
    """Delete what was applied before a time among the `limit` changes after `after`.

    Those that a generation being built has yet to replay stay.
    """
    ahead = select(_changes.seq, _changes.created_at).where(_changes.seq > after)
    stretch = ahead.order_by(_changes.seq).limit(limit).subquery()
    ends = select(func.max(stretch.c.seq), func.min(stretch.c.created_at))
    end, begun = db.execute(ends).one()
    # What was buffered since cannot have been applied before, nor what comes behind it.
    if end is None or begun >= applied_before:
        return Pruned(0, None)
    replayed = (
        select(tables.generations.c.id)
        .where(
            tables.generations.c.lens_id == _changes.lens_id,
            tables.generations.c.state == GenerationState.BUILDING,
            tables.generations.c.change_seq < _changes.seq,
        )
        .exists()
    )
    within = and_(_changes.seq > after, _changes.seq <= end)
    old = delete(tables.changes).where(within, _changes.applied_at < applied_before, ~replayed)
    return Pruned(db.execute(old).rowcount, end)


@once
def _append_any(db: Connection) -> Executable:
    given = rows_given(db, "key", "action")
    return _append(db, given, given.c.action)


@once
def _append_alike(db: Connection) -> Executable:
    return _append(db, rows_given(db, "key"), bindparam("action", type_=Text))


def _append(db: Connection, given: Subquery, action: ColumnElement[str]) -> Executable:
    """Return the statement that inserts changes.

    Where one statement `writes_twice`, it resizes the buffer first and gives the new size.
    """
    lens, now = bindparam("lens", type_=Integer), bindparam("now", type_=UtcDateTime)
    number = next_number(db, _changes.seq, given.c.position)
    numbered = select(number.label("seq"), given.c.key, action.label("action"))
    sized = _resized(db).cte("sized")
    if writes_twice(db):
        # Joined, so that no row gets its number before the lens's place in the queue is taken.
        numbered = numbered.select_from(given.join(sized, true()))
    rows = numbered.order_by(given.c.position).subquery("numbered")
    # Numbered by place and written by key: the pages of the index over keys, most of what is
    # written, are come by one after the other, and each once.
    written = select(rows.c.seq, lens, rows.c.key, rows.c.action, now).order_by(rows.c.key)
    names = ["seq", "lens_id", "key", "action", "created_at"]
    new = insert_all(db, tables.changes).from_select(names, written)
    return select(sized.c.size).add_cte(new.cte("put")) if writes_twice(db) else new


def _resize(db: Connection, lens_id: int, by: int) -> int:
    return int(db.scalars(_resized(db), {"lens": lens_id, "size": by}).one())


@once
def _resized(db: Connection) -> ReturningInsert[int]:
    buffers = tables.buffers
    values = {
        "lens_id": bindparam("lens", type_=Integer),
        "size": bindparam("size", type_=BigInteger),
    }
    new = insert(db, buffers).values(values)
    grown = new.on_conflict_do_update(
        index_elements=["lens_id"], set_={"size": buffers.c.size + new.excluded.size}
    )
    return grown.returning(buffers.c.size)


def _last_seq(lens_id: int, key: ColumnElement[str], *, told: bool = False) -> ColumnElement[int]:
    """Return the number of a key's last change, or of the last one that was `told` by a caller.

    What a walk noted says that it wrote the row, and not that its row is the newer one.
    """
    # A subquery with an aggregate is looked up in the index, key by key, on both databases; a join
    # or an EXISTS tempts the planner to read the whole log.
    log = tables.changes.alias("log")
    last = select(func.max(log.c.seq)).where(log.c.lens_id == lens_id, log.c.key == key)
    return (last.where(log.c.noted.is_(False)) if told else last).scalar_subquery()


def _claimed_by(job_id: str) -> ColumnElement[bool]:
    return and_(_changes.job_id == job_id, _changes.applied_at.is_(None))


def _change(seq: int, key: str, action: str, looks: int) -> Change:
    return Change(seq, key, Action(action), looks)
