"""`semilayer status`: every lens, its index, and the queue."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.text import Text

from semilayer_pipelines.cli.context import Here, console, env_option, json_option, say_json
from semilayer_pipelines.cli.feed_lines import feed_line
from semilayer_pipelines.cli.lens_selection import takes_lens
from semilayer_pipelines.cli.status_document import LensLine, StatusDocument, status_of
from semilayer_pipelines.cli.tables import table_of
from semilayer_pipelines.counts import span, utc_text

if TYPE_CHECKING:
    from semilayer_pipelines.queries.source_lag import SourceLag

__all__ = ["status"]

WATCH_SECONDS = 2.0
_NUMBERS = ("vectors", "failed", "buffered")


@click.command()
@takes_lens("Only this lens; also asks its source how far it is ahead.")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@env_option
@json_option
@click.pass_obj
def status(here: Here, lens: str | None, watch: bool, env: str, as_json: bool) -> None:
    """Show every lens, its index, and the queue.

    "behind" is the time since the last completed walk over the table began, or since a schedule
    found nothing to read. The index has everything that the source had then. With --watch and
    --json, each line is a document.
    """
    project = here.project
    if not watch:
        told = status_of(project, env, lens)
        say_json(told.as_json()) if as_json else console().print(_shown(told, project.clock()))
        return
    try:
        if as_json or not console().is_terminal:
            while True:
                told = status_of(project, env, lens)
                shown = _shown(told, project.clock())
                say_json(told.as_json()) if as_json else console().print(shown, "")
                time.sleep(WATCH_SECONDS)
        from rich.live import Live

        with Live(console=console(), auto_refresh=False, screen=True) as live:
            while True:
                told = status_of(project, env, lens)
                live.update(_shown(told, project.clock()), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        pass  # how watching is meant to end


def _shown(told: StatusDocument, now: datetime) -> Group:
    if not told.lenses:
        return Group(Text(f"No lens is registered in {told.env!r}. Register them: semilayer push"))
    titles = ("lens", "status", *_NUMBERS, "behind", "embedded by", "progress")
    table = table_of(*titles, numbers=_NUMBERS)
    for line in told.lenses:
        table.add_row(
            line.name,
            line.status.value,
            "?" if line.vectors is None else f"{line.vectors:,}",
            *(f"{number:,}" for number in (line.failed, line.buffered)),
            "" if line.behind_seconds is None else span(line.behind_seconds),
            ", ".join(line.embedded_by),
            line.progress or "",
        )
    queue = told.queue
    last = (
        f"\nQueue: {queue.active} active, {queue.pending} pending, {queue.failed} failed, "
        f"{queue.completed} completed (24h)"
    )
    notes = [note for line in told.lenses for note in _notes(line)]
    if told.daemon.silent:
        notes.append(f"\n{told.daemon.told} {told.daemon.cure}")
    notes += [f"\n{feed_line(row, now)}" for row in told.feeds]
    if told.store:
        notes.append(f"\nstore: {told.store}")
    if told.single:
        notes.append(_now_note(told))
    if told.source:
        notes.append(_source_note(told.source))
    if told.hidden:
        notes.append(f"\nsource: {told.hidden.reason} {told.hidden.cure}")
    return Group(table, *map(Text, notes), Text(last))


def _notes(line: LensLine) -> list[str]:
    """Return what does not fit the table: the last error, and how long changes wait."""
    found: list[str] = []
    if line.next and line.next != line.outlook:
        # Not in the table, which has to fit a terminal: it is there to be copied.
        found.append(f"\n{line.name}: {line.next}")
    if line.error:
        found.append(f"\n{line.name}: {line.error} {line.cure or ''}")
    if line.outlook:
        since = line.failing.since if line.failing else None
        failing = f", failing since {utc_text(since.replace(microsecond=0))}" if since else ""
        found.append(f"\n{line.name}: {line.outlook}{failing}.")
    if line.advice:
        found.append(f"\n{line.name}: {line.advice} semilayer push --rebuild --lens {line.name}")
    if line.rows and line.vectors and line.rows < line.vectors:
        # One vector more than chunks: the first is the row's own as well.
        found.append(f"\n{line.name}: {line.rows:,} rows; long texts are cut into chunks.")
    if line.textless:
        found.append(f"\n{line.name}: {line.textless:,} rows have no text, and are left out.")
    if line.buffered:
        found.append(f"\n{line.name}: the oldest change waits for {span(line.lag_seconds)}.")
    if line.awaited:
        found.append(
            f"\n{line.name}: changes whose rows were not found, and are looked for again: "
            f"{line.awaited:,}."
        )
    return found


def _now_note(told: StatusDocument) -> str:
    """Tell of one lens what waits, how fast rows are read, and whether anything runs its jobs."""
    (line,) = told.lenses
    age = told.daemon.age
    tick = "never" if age is None else f"{span(age.total_seconds())} ago"
    return (
        f"\nchanges pending: {line.buffered:,}, rows/s: {line.rows_per_second:,.0f}, "
        f"last tick of the daemon: {tick}"
    )


def _source_note(source: SourceLag) -> str:
    if source.error:
        return f"\nsource: {source.error}"
    lag = "" if source.seconds is None else f", {span(source.seconds)} behind"
    waiting = (
        f" {source.untracked:,} rows have no value there: only a smart sync brings them in."
        if source.untracked
        else ""
    )
    return (
        f"\n{source.column}: {source.latest or 'no value'} in the source, incremental has come to "
        f"{source.cursor or 'none'}{lag}.{waiting}"
    )
