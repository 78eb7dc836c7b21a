"""What is wrong with an environment that somebody should be told; only the registry is asked.

Whether and when it is told is another matter: `control.alerts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from semilayer_pipelines.config.intervals import duration_of
from semilayer_pipelines.counts import span, utc_text
from semilayer_pipelines.queries.as_of import as_of
from semilayer_pipelines.queries.daemon import Daemon, daemon_of
from semilayer_pipelines.queries.failing import Failing, failing_of
from semilayer_pipelines.queries.health import BY_ITSELF, NEEDS_YOU
from semilayer_pipelines.queries.state import WALKS
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import failed_rows, lenses
from semilayer_pipelines.registry.alerts import Alert, Key, Kind
from semilayer_pipelines.registry.environments import Environment
from semilayer_pipelines.registry.lenses import Lens, LensStatus

__all__ = [
    "PASSES_BY_ITSELF",
    "LensFacts",
    "Standing",
    "Wrong",
    "alerts_of",
    "standing_of",
]

PASSES_BY_ITSELF = timedelta(minutes=2)
"""An error that is retried by itself, and a daemon that is silent, are told after so long. An alert
is over when all has been well for as long."""

NO_LENS = ""


@dataclass(frozen=True)
class LensFacts:
    """What decides whether something is wrong with a lens.

    `failing` is `None` unless it is in `error`. `as_of` is that of `LensState`, and `None` for a
    lens without a target for its freshness too.
    """

    lens: Lens
    failing: Failing | None
    failed: int
    as_of: datetime | None


@dataclass(frozen=True)
class Standing:
    """An environment at a moment.

    `within`: Dagster's daemon itself looks. It may have come up a moment ago, and cannot tell that
    it is silent.
    """

    env: Environment
    lenses: tuple[LensFacts, ...]
    daemon: Daemon
    at: datetime
    within: bool = False


@dataclass(frozen=True)
class Wrong:
    """What is wrong. Nobody can say now of `unsure`: who was told of one hears nothing new."""

    alerts: tuple[Alert, ...]
    unsure: frozenset[Key]


def standing_of(db: Connection, env: Environment, now: datetime, *, within: bool) -> Standing:
    """Return how an environment stands: a query, and one or two more for a lens that needs them."""
    failed = failed_rows.counts(db, env.id)
    found = [_facts(db, lens, failed.get(lens.id, 0)) for lens in lenses.list_all(db, env.slug)]
    return Standing(env, tuple(found), daemon_of(db, now), now, within)


def _facts(db: Connection, lens: Lens, failed: int) -> LensFacts:
    facts = LensFacts(lens, failing_of(db, lens), failed, None)
    if lens.config.freshness is None:
        return facts
    return replace(facts, as_of=as_of(db, lens.id, WALKS))


def alerts_of(standing: Standing, *, failed_rows: int) -> Wrong:
    """Return what is wrong; `failed_rows` is how many a lens may have without a word."""
    found = list[Alert]()
    unsure = set[Key]()
    for facts in standing.lenses:
        found += _of_lens(facts, standing, failed_rows)
        unsure.update(_unsure_of(facts, standing))
    if standing.daemon.silent:
        found += _of_daemon(standing)
        unsure.add((NO_LENS, Kind.DAEMON))
    return Wrong(tuple(found), frozenset(unsure))


def _of_lens(facts: LensFacts, standing: Standing, allowed: int) -> Iterator[Alert]:
    name, now = facts.lens.name, standing.at
    if facts.failing is not None and _lasts(facts, facts.failing, now):
        yield _error(facts.lens, facts.failing, now)
    late = _late(facts)
    # Where nothing runs jobs, that is what is told.
    if late is not None and late < now and not standing.daemon.silent:
        yield _behind(facts.lens, late, now)
    if facts.failed > allowed:
        yield Alert(
            name,
            Kind.FAILED_ROWS,
            now,
            f"{facts.failed:,} rows could not be indexed, more than the {allowed:,} that may.",
            f"See them with their reasons: `semilayer failed --lens {name}`.",
        )


def _unsure_of(facts: LensFacts, standing: Standing) -> Iterator[Key]:
    lens = facts.lens
    if lens.status is LensStatus.ERROR:
        yield lens.name, _kind_of_error(lens)
    if lens.status is LensStatus.INDEXING and lens.failing_since is not None:
        # It is being tried, and has not shown yet that it is well.
        yield lens.name, Kind.ERROR
        yield lens.name, Kind.GUARD
    if standing.daemon.silent:
        yield lens.name, Kind.BEHIND


def _lasts(facts: LensFacts, failing: Failing, now: datetime) -> bool:
    """Say whether an error is worth a word: a person has to act, or it did not pass by itself."""
    since = failing.since or facts.lens.changed_at
    return failing.needs_you or now - since >= PASSES_BY_ITSELF


def _kind_of_error(lens: Lens) -> Kind:
    return Kind.GUARD if lens.guarded else Kind.ERROR


def _error(lens: Lens, failing: Failing, now: datetime) -> Alert:
    error, cure = lens.error or "It failed.", lens.cure or "See the log of the run."
    since = failing.since or lens.changed_at
    return Alert(
        lens.name,
        _kind_of_error(lens),
        since,
        redact(f"{error} {_next(failing, now)}".strip()),
        redact(cure),
    )


def _next(failing: Failing, now: datetime) -> str:
    """Say when it is tried again; at a time of day, because a message is read later."""
    if failing.stopped:
        return NEEDS_YOU
    if failing.next_try is not None and failing.next_try > now:
        return f"It is tried again at {utc_text(failing.next_try.replace(microsecond=0))}."
    return BY_ITSELF if failing.running or failing.next_try or failing.scheduled else ""


def _late(facts: LensFacts) -> datetime | None:
    """Return since when a lens is older than it may be; `None` where it may be of any age."""
    lens = facts.lens
    if lens.config.freshness is None or facts.as_of is None or lens.status is LensStatus.PAUSED:
        return None
    return facts.as_of + duration_of(lens.config.freshness)


def _behind(lens: Lens, since: datetime, now: datetime) -> Alert:
    freshness = lens.config.freshness
    assert freshness is not None
    age = now - since + duration_of(freshness)
    return Alert(
        lens.name,
        Kind.BEHIND,
        since,
        f"The index is {span(age.total_seconds())} behind its table, and may be {freshness}.",
        f"See what keeps it: `semilayer status --lens {lens.name}`. "
        f"Start a sync: `semilayer sync --lens {lens.name}`.",
    )


def _of_daemon(standing: Standing) -> Iterator[Alert]:
    daemon, since = standing.daemon, standing.daemon.last or standing.env.created_at
    if standing.within or since is None or standing.at - since < PASSES_BY_ITSELF:
        return
    yield Alert(NO_LENS, Kind.DAEMON, since, daemon.told, daemon.cure)
