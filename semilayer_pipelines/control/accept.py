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
from semilayer_pipelines.registry import api_keys, call_log, called, changes, lenses
from semilayer_pipelines.registry.api_key import PresentedKey
from semilayer_pipelines.registry.called import CalledLens
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.environments import CALLS_PER_MINUTE
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.jobs import Mode

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
    found = called.look_up(db, {(call.key, call.lens) for call in calls})
    api_keys.touch(db, (one.key for one in found.values()), clock())
    by_lens: dict[CalledLens, list[int]] = {}
    for at, call in enumerate(calls):  # a few hundred at most
        known = found.get((call.key.digest, call.lens))
        if known is None:
            outcomes[at] = KeyRefused("The key is unknown or was revoked.")
        elif known.lens is None:
            outcomes[at] = _no_lens(known.key.env, call.lens)
        else:
            by_lens.setdefault(known.lens, []).append(at)
    # By number, so that two processes which hold several lenses at once cannot wait for each other.
    for lens, of_lens_at in sorted(by_lens.items(), key=lambda one: one[0].id):
        wrong = {mode: _why_not(db, lens, mode) for mode in {calls[at].mode for at in of_lens_at}}
        outcomes |= {at: no for at in of_lens_at if (no := wrong[calls[at].mode]) is not None}
        places = [at for at in of_lens_at if at not in outcomes]
        if not places:
            continue
        mine = [calls[at] for at in places]
        limit = CALLS_PER_MINUTE[found[mine[0].key.digest, lens.name].key.env_tier]
        of_lens = _accept_for(db, lens, mine, limit, clock, new_id, nudged)
        outcomes |= dict(zip(places, of_lens, strict=True))
    return [outcomes[at] for at in range(len(calls))]


def _why_not(db: Connection, lens: CalledLens, mode: Mode) -> Refused | None:
    """Return why a lens cannot do what a call asks, as far as the registry knows; else `None`."""
    if mode is not Mode.INCREMENTAL or in_force(db, lenses.by_id(db, lens.id)).tracked != "":
        return None
    return Refused(
        "Its table has no column that tells what changed, so nobody knows which rows to read.",
        cure="Name one as 'changeTrackingColumn' and push, or use mode `records`, mode `full` or "
        "a smart sync.",
        lens=lens.name,
    )


def _accept_for(
    db: Connection,
    lens: CalledLens,
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
                debounce=lens.debounce,
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
