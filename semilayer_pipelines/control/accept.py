"""Accepting calls: changes and the job that applies them, in one transaction.

`accept` is what the webhook does, for one call or for many that came at the same moment. It only
writes to the registry; whoever called is answered after the commit and never before (invariant 2).
Locks are taken in one order for all: keys, then lens by lens its buffer, its log of calls, its job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.control.debounce import request_soon
from semilayer_pipelines.errors import NotFound, Refused, SemilayerError, UserError
from semilayer_pipelines.registry import api_keys, call_log, changes, lenses
from semilayer_pipelines.registry.api_key import PresentedKey
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.environments import CALLS_PER_MINUTE
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens

__all__ = [
    "NUDGED",
    "Accepted",
    "Call",
    "KeyRefused",
    "RateLimited",
    "accept",
]

NUDGED = frozenset({Mode.INCREMENTAL, Mode.RECORDS})
"""Modes whose jobs the webhook may launch itself; a full ingest may be a run a shard."""

ORIGIN = "webhook"


class KeyRefused(UserError):
    """The key is unknown or revoked."""


class RateLimited(Refused):
    """The lens takes no more calls for `retry_after` seconds; `limit` is how many in a minute."""

    def __init__(self, lens: str, limit: int, retry_after: int) -> None:
        super().__init__(
            f"It takes {limit} calls in 60 seconds, and has had them.",
            cure=f"Call again in {retry_after} s, with up to 10,000 changes a call.",
            lens=lens,
        )
        self.limit = limit
        self.retry_after = retry_after


@dataclass(frozen=True)
class Call:
    """One call: whose, to which lens of the key's environment, and what for."""

    key: PresentedKey
    lens: str
    mode: Mode
    changes: Sequence[tuple[str, Action]] = ()


@dataclass(frozen=True)
class Accepted:
    """An accepted call.

    `job_id` is `None` when a job was there already. `buffered`: changes in the lens's buffer, this
    call's included; `None` for other modes. `limit` and `remaining`: calls a minute, `None` without
    a limit. `due_at`: of the job that this call queued.
    """

    job_id: str | None
    due_at: datetime | None
    buffered: int | None
    limit: int | None
    remaining: int | None


Outcome = Accepted | SemilayerError


def accept(
    db: Connection,
    calls: Sequence[Call],
    *,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    nudged: bool = False,
) -> list[Outcome]:
    """Accept calls in their order; return for each what became of it.

    `nudged`: the caller launches the `NUDGED` jobs that this queues. An outcome is `Accepted`,
    `KeyRefused`, `RateLimited`, `NotFound` (no such lens) or `Refused` (what it asks for cannot be
    done). Nothing counts until the caller's transaction is committed.
    """
    outcomes: dict[int, Outcome] = {}
    keys = api_keys.check(db, {call.key.digest: call.key for call in calls}.values())
    api_keys.touch(db, keys.values(), clock())
    by_lens: dict[tuple[str, str], list[int]] = {}
    for at, call in enumerate(calls):  # a few hundred at most
        key = keys.get(call.key.digest)
        if key is None:
            outcomes[at] = KeyRefused("The key is unknown or was revoked.")
        else:
            by_lens.setdefault((key.env, call.lens), []).append(at)
    found: list[tuple[Lens, list[int]]] = []
    for (env, name), places in by_lens.items():
        try:
            found.append((lenses.get(db, env, name), places))
        except NotFound:
            outcomes |= dict.fromkeys(places, _no_lens(env, name))
    # By number, so that two processes which hold several lenses at once cannot wait for each other.
    for lens, of_lens_at in sorted(found, key=lambda one: one[0].id):
        places = []
        for at in of_lens_at:
            wrong = _why_not(db, lens, calls[at].mode)
            if wrong is None:
                places.append(at)
            else:
                outcomes[at] = wrong
        if not places:
            continue
        limit = CALLS_PER_MINUTE[keys[calls[places[0]].key.digest].env_tier]
        mine = [calls[at] for at in places]
        of_lens = _accept_for(db, lens, mine, limit, clock, new_id, nudged)
        outcomes |= dict(zip(places, of_lens, strict=True))
    return [outcomes[at] for at in range(len(calls))]


def _why_not(db: Connection, lens: Lens, mode: Mode) -> Refused | None:
    """Return why a lens cannot do what a call asks, as far as the registry knows; else `None`."""
    if mode is not Mode.INCREMENTAL or in_force(db, lens).tracked != "":
        return None
    return Refused(
        "Its table has no column that tells what changed, so there is nothing to go by.",
        cure="Name one as 'changeTrackingColumn' and push, or use mode `records`, mode `full` or "
        "a smart sync.",
        lens=lens.name,
    )


def _accept_for(
    db: Connection,
    lens: Lens,
    calls: Sequence[Call],
    limit: int | None,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    nudged: bool,
) -> list[Outcome]:
    admitted, remaining, refused = calls, None, None
    if limit is not None:
        changes.append(db, lens.id, (), clock())  # takes the lens's place in the queue
        window = call_log.admit(db, lens.id, calls=len(calls), limit=limit, now=clock())
        admitted, remaining = calls[: window.calls], window.remaining
        refused = RateLimited(lens.name, limit, window.retry_after)
    buffered: int | None = None
    pushed = [change for call in admitted for change in call.changes]
    if pushed:
        buffered = changes.append(db, lens.id, pushed, clock()) - len(pushed)
    elif any(call.mode is Mode.RECORDS for call in admitted):
        buffered = changes.buffered(db, lens.id)
    now = clock()
    outcomes: list[Outcome] = []
    requested: set[Mode] = set()
    for at, call in enumerate(admitted):
        job = None
        if call.mode not in requested:
            job = request_soon(
                db,
                lens,
                call.mode,
                job_id=new_id(),
                origin=ORIGIN,
                now=now,
                nudged=nudged and call.mode in NUDGED,
            )
        requested.add(call.mode)
        size = None
        if call.mode is Mode.RECORDS and buffered is not None:
            size = buffered = buffered + len(call.changes)
        left = None if remaining is None else remaining + len(admitted) - 1 - at
        job_id, due_at = (job.id, job.due_at) if job else (None, None)
        outcomes.append(Accepted(job_id, due_at, size, limit, left))
    if refused is not None:
        outcomes += [refused] * (len(calls) - len(admitted))
    return outcomes


def _no_lens(env: str, name: str) -> NotFound:
    return NotFound(
        f"There is no lens {name!r} in {env!r}.",
        cure="Push it first: `semilayer push`. A key sees its own environment only.",
    )
