"""`semilayer status`: every lens, its index, and the queue."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from semilayer_pipelines.bridges.cursors import shown
from semilayer_pipelines.cli.context import Here, console, env_option, json_option, say_json
from semilayer_pipelines.cli.follow import progress_of
from semilayer_pipelines.cli.lens_selection import chosen_lenses
from semilayer_pipelines.cli.tables import table_of
from semilayer_pipelines.counts import span
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.state import LensState, lens_state
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.cursors import IncrementalCursor
from semilayer_pipelines.registry.lenses import Lens, Needs

__all__ = ["status"]

WATCH_SECONDS = 2.0
_DAY = timedelta(hours=24)
_NUMBERS = ("vectors", "failed", "buffered")


@click.command()
@click.option("--lens", help="Only this lens; also asks its source how far it is ahead.")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@env_option
@json_option
@click.pass_obj
def status(here: Here, lens: str | None, watch: bool, env: str, as_json: bool) -> None:
    """Show every lens, its index, and the queue.

    "behind" is the time since the last completed walk over the table began. The index has everything
    that the source had then. With --watch and --json, each line is a document.
    """
    project = here.project
    if not watch:
        told = _document(project, env, lens)
        say_json(told) if as_json else console.print(_shown(told))
        return
    try:
        if as_json or not console.is_terminal:
            while True:
                told = _document(project, env, lens)
                say_json(told) if as_json else console.print(_shown(told), "")
                time.sleep(WATCH_SECONDS)
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                live.update(_shown(_document(project, env, lens)), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        pass  # how watching is meant to end


def _document(project: Project, env: str, lens: str | None) -> dict[str, Any]:
    with project.registry.read() as db:
        known = chosen_lenses(db, env, lens)
        queue = jobs.queue_counts(db, env, project.clock() - _DAY)
    rows = [_lens(project, one) for one in known]
    if lens:
        from semilayer_pipelines.queries.source_lag import source_lag

        lag = source_lag(project, known[0])
        rows[0]["source"] = asdict(lag) if lag else None
    return {
        "env": env,
        "lenses": rows,
        "queue": {
            "active": queue.active,
            "pending": queue.pending,
            "failed": queue.failed,
            "completed24h": queue.completed,
        },
    }


def _lens(project: Project, lens: Lens) -> dict[str, Any]:
    now = project.clock()
    with project.registry.read() as db:
        state = lens_state(db, lens, now)
    active = state.active
    index = project.store(lens.env).find(active.index_name) if active else None
    behind = (now - state.as_of).total_seconds() if state.as_of else None
    return {
        "name": lens.name,
        "status": lens.status.value,
        "vectors": index.count() if index else 0,
        "generation": active.number if active else None,
        "embeddedBy": list(active.embedded_by) if active else [],
        "failed": state.failed,
        "buffered": state.buffered,
        "lagSeconds": round(state.lag_seconds, 3),
        "asOf": state.as_of.isoformat() if state.as_of else None,
        "behindSeconds": None if behind is None else round(max(0.0, behind), 3),
        "progress": _progress(project, state),
        "rowsPerSecond": round(state.rate, 1),
        "cursor": _cursor(state.cursor),
        "needs": lens.needs.value,
        "next": _next(lens),
        "error": lens.error,
        "cure": lens.cure,
    }


def _progress(project: Project, state: LensState) -> str | None:
    if not state.running:
        return None
    counts, expected = progress_of(project, state.running[0])
    of = f" of {expected:,}" if expected else ""
    at = f" at {state.rate:,.0f}/s" if state.rate else ""
    return f"{state.running[0].mode.value}: {counts.read:,}{of} rows{at}"


def _cursor(cursor: IncrementalCursor | None) -> str | None:
    seen = None if cursor is None else cursor.position
    return None if seen is None else shown(seen)


def _next(lens: Lens) -> str:
    match lens.needs, lens.status.value:
        case Needs.REBUILD, _:
            return f"needs a rebuild: semilayer resume --lens {lens.name}"
        case Needs.SMART_SYNC, _:
            return f"needs a sync: semilayer sync --lens {lens.name}"
        case _, ("paused" | "error"):
            return f"semilayer resume --lens {lens.name}"
        case _:
            return ""


def _shown(told: dict[str, Any]) -> Group:
    if not told["lenses"]:
        return Group(
            Text(f"No lens is registered in {told['env']!r}. Register them: semilayer push")
        )
    titles = ("lens", "status", *_NUMBERS, "behind", "embedded by", "progress", "next")
    table = table_of(*titles, numbers=_NUMBERS)
    for row in told["lenses"]:
        table.add_row(
            row["name"],
            row["status"],
            *(f"{row[title]:,}" for title in _NUMBERS),
            "" if row["behindSeconds"] is None else span(row["behindSeconds"]),
            ", ".join(row["embeddedBy"]),
            row["progress"] or "",
            row["next"],
        )
    queue = told["queue"]
    last = (
        f"\nQueue: {queue['active']} active, {queue['pending']} pending, {queue['failed']} failed, "
        f"{queue['completed24h']} completed (24h)"
    )
    notes = [Text(line) for row in told["lenses"] for line in _notes(row)]
    return Group(table, *notes, Text(last))


def _notes(row: dict[str, Any]) -> list[str]:
    """Return what does not fit the table: the last error, and of a single lens its source."""
    found: list[str] = []
    if row["error"]:
        found.append(f"\n{row['name']}: {row['error']} {row['cure'] or ''}")
    if row["buffered"]:
        found.append(f"\n{row['name']}: the oldest change waits for {span(row['lagSeconds'])}.")
    source = row.get("source")
    if source and source["error"]:
        found.append(f"\nsource: {source['error']}")
    elif source:
        lag = "" if source["seconds"] is None else f", {span(source['seconds'])} behind"
        found.append(
            f"\n{source['column']}: {source['latest'] or 'no value'} in the source, incremental "
            f"has come to {source['cursor'] or 'none'}{lag}."
        )
    return found
