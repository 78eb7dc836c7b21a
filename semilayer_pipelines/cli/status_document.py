"""The document of `semilayer status`: what it says, and how it is written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from semilayer_pipelines.bridges.cursors import shown
from semilayer_pipelines.cli.asked_store import AskedStore
from semilayer_pipelines.cli.feed_lines import feed_json
from semilayer_pipelines.cli.follow import progress_of
from semilayer_pipelines.cli.lens_selection import chosen_lenses
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.errors import IndexDamaged
from semilayer_pipelines.ingest.built_with import prompts_advice
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.daemon import Daemon, daemon_of
from semilayer_pipelines.queries.failing import Failing
from semilayer_pipelines.queries.state import LensState, lens_state
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import feeds, jobs
from semilayer_pipelines.registry.cursors import IncrementalCursor
from semilayer_pipelines.registry.feeds import FeedRow
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Mode, QueueCounts
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs
from semilayer_pipelines.stores.open import is_server

if TYPE_CHECKING:
    from semilayer_pipelines.bridges.protocol import HiddenRows
    from semilayer_pipelines.queries.source_lag import SourceLag

__all__ = ["LensLine", "StatusDocument", "status_of"]

_DAY = timedelta(hours=24)


@dataclass(frozen=True)
class LensLine:
    """How one lens stands.

    `rows` are those of the index, `vectors` theirs: a row whose text is cut has several. Both are
    `None` while the store does not say how many there are. `behind_seconds` is the age
    of `as_of`, both `None` before the first walk. `next` is what a person may do, empty when there
    is nothing. `advice` says what a rebuild would better. `failing` is `None` unless the lens is in
    error, `outlook` says in words what comes next then.
    """

    name: str
    status: LensStatus
    rows: int | None
    vectors: int | None
    generation: int | None
    embedded_by: tuple[str, ...]
    failed: int
    textless: int
    buffered: int
    awaited: int
    lag_seconds: float
    as_of: datetime | None
    behind_seconds: float | None
    progress: str | None
    rows_per_second: float
    cursor: str | None
    needs: Needs
    next: str
    advice: str | None
    error: str | None
    cure: str | None
    failing: Failing | None
    outlook: str | None

    def as_json(self) -> dict[str, object]:
        """Return the line as it is printed with `--json`."""
        return {
            "name": self.name,
            "status": self.status.value,
            "rows": self.rows,
            "vectors": self.vectors,
            "generation": self.generation,
            "embeddedBy": list(self.embedded_by),
            "failed": self.failed,
            "textless": self.textless,
            "buffered": self.buffered,
            "awaited": self.awaited,
            "lagSeconds": self.lag_seconds,
            "asOf": utc_text(self.as_of) if self.as_of else None,
            "behindSeconds": self.behind_seconds,
            "progress": self.progress,
            "rowsPerSecond": self.rows_per_second,
            "cursor": self.cursor,
            "needs": self.needs.value,
            "next": self.next,
            "advice": self.advice,
            "error": self.error,
            "cure": self.cure,
            **self._failing_json(),
        }

    def _failing_json(self) -> dict[str, object]:
        failing = self.failing
        since = failing.since if failing else None
        next_try = failing.next_try if failing else None
        return {
            "failingSince": utc_text(since) if since else None,
            "needsYou": failing.needs_you if failing else False,
            "triedAgainAt": utc_text(next_try) if next_try else None,
            "outlook": self.outlook,
        }


@dataclass(frozen=True)
class StatusDocument:
    """An environment's lenses and its queue.

    `feeds` are the sources whose changes are followed. `single`: one lens was asked for, so its
    source was asked too. `source` is `None` for a lens that follows no column. `hidden` says why
    that source may hide rows from us. `store` says why the store could not be asked. `daemon` is
    what runs the jobs.
    """

    env: str
    lenses: tuple[LensLine, ...]
    queue: QueueCounts
    daemon: Daemon
    single: bool
    source: SourceLag | None
    hidden: HiddenRows | None = None
    store: str | None = None
    feeds: tuple[FeedRow, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the document as it is printed with `--json`; `store` only with trouble there."""
        source: dict[str, object] = {}
        if self.single:
            source["source"] = asdict(self.source) if self.source else None
            source["hidden"] = self.hidden and self.hidden.reason
        told: dict[str, object] = {
            "env": self.env,
            "lenses": [line.as_json() | source for line in self.lenses],
            "queue": {
                "active": self.queue.active,
                "pending": self.queue.pending,
                "failed": self.queue.failed,
                "completed24h": self.queue.completed,
            },
            "daemon": self.daemon.as_json(),
            "feeds": [feed_json(row) for row in self.feeds],
        }
        return told if self.store is None else told | {"store": self.store}


def status_of(project: Project, env: str, lens: str | None) -> StatusDocument:
    """Look at every lens of an environment, or at one of them and its source.

    Raises `NotFound` for a name that does not exist.
    """
    with project.registry.read() as db:
        known = chosen_lenses(db, env, lens)
        queue = jobs.queue_counts(db, env, project.clock() - _DAY)
        daemon = daemon_of(db, project.clock())
        followed = tuple(feeds.list_all(db, env))
    store = AskedStore(project)
    if known and is_server(project.settings.store):
        store.reach(env)
    lines = tuple(_line(project, one, store) for one in known)
    if lens is None:
        told = store.trouble
        return StatusDocument(
            env, lines, queue, daemon, single=False, source=None, store=told, feeds=followed
        )
    # Here, because they load a bridge.
    from semilayer_pipelines.queries.hidden_rows import hidden_rows
    from semilayer_pipelines.queries.source_lag import source_lag

    source = source_lag(project, known[0])
    # One that is away is waited for once.
    away = source is not None and source.error is not None
    hidden = None if away else hidden_rows(project, known[0])
    return StatusDocument(
        env,
        lines,
        queue,
        daemon,
        single=True,
        source=source,
        hidden=hidden,
        store=store.trouble,
        feeds=tuple(row for row in followed if row.source == known[0].config.source),
    )


def _line(project: Project, lens: Lens, store: AskedStore) -> LensLine:
    now = project.clock()
    with project.registry.read() as db:
        state = lens_state(db, lens, now)
    active, damage = state.active, None
    counted: tuple[int, int] | None = (0, 0)
    try:
        counted = store.counted(lens, active) if active else counted
    except IndexDamaged as found:
        damage = found
    rows, vectors = counted or (None, None)
    error, cure = _wrong(lens, state, damage)
    behind = (now - state.as_of).total_seconds() if state.as_of else None
    return LensLine(
        name=lens.name,
        status=lens.status,
        rows=rows,
        vectors=vectors,
        generation=active.number if active else None,
        embedded_by=tuple(active.embedded_by) if active else (),
        failed=state.failed,
        textless=state.textless,
        buffered=state.buffered,
        awaited=state.awaited,
        lag_seconds=round(state.lag_seconds, 3),
        as_of=state.as_of,
        behind_seconds=None if behind is None else round(max(0.0, behind), 3),
        progress=_progress(project, state),
        rows_per_second=round(state.rate, 1),
        cursor=_cursor(state.cursor),
        needs=lens.needs,
        next=_next(lens, state.failing, now),
        advice=_advice(project, lens, active),
        error=error,
        cure=cure,
        failing=state.failing,
        outlook=state.failing.told(now) if state.failing else None,
    )


def _advice(project: Project, lens: Lens, active: Generation | None) -> str | None:
    if active is None or lens.needs is Needs.REBUILD:
        return None
    return prompts_advice(project, lens.config.embedding, active)


def _wrong(
    lens: Lens, state: LensState, damage: IndexDamaged | None
) -> tuple[str | None, str | None]:
    """Return what a person has to know, and the cure: the worst of what is wrong."""
    if damage is not None:
        return redact(damage.message), redact(damage.cure)
    if lens.error is None and state.completed is not None:
        # The upkeep of the index, which is tried again with every job.
        return state.completed.error, state.completed.cure
    return lens.error, lens.cure


def _progress(project: Project, state: LensState) -> str | None:
    if not state.running:
        return f"{Mode.FULL.value}: {state.batches}" if state.batches else None
    counts, expected = progress_of(project, state.running[0])
    of = f" of {expected:,}" if expected else ""
    at = f" at {state.rate:,.0f}/s" if state.rate else ""
    return f"{state.running[0].mode.value}: {counts.read:,}{of} rows{at}"


def _cursor(cursor: IncrementalCursor | None) -> str | None:
    seen = None if cursor is None else cursor.position
    return None if seen is None else shown(seen)


def _next(lens: Lens, failing: Failing | None, now: datetime) -> str:
    if failing is not None and not failing.needs_you:
        return failing.told(now)
    match lens.needs, lens.status:
        case Needs.REBUILD, _:
            return f"needs a rebuild: semilayer resume --lens {lens.name}"
        case Needs.SMART_SYNC, _:
            return f"needs a sync: semilayer sync --lens {lens.name}"
        case _, (LensStatus.PAUSED | LensStatus.ERROR):
            return f"semilayer resume --lens {lens.name}"
        case _:
            return ""
