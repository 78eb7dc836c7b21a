"""`semilayer status`."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.table import Table

from semilayer_pipelines.cli.context import Here, console, env_option, json_option, say, say_json
from semilayer_pipelines.cli.follow import progress_of
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, failed_rows, generations, jobs, lenses
from semilayer_pipelines.registry.lenses import Lens, Needs

__all__ = ["status"]

_DAY = timedelta(hours=24)


@click.command()
@click.option("--lens", help="Only this lens.")
@env_option
@json_option
@click.pass_obj
def status(here: Here, lens: str | None, env: str, as_json: bool) -> None:
    """Show every lens, its index, and the queue."""
    project = here.project
    with project.registry.read() as db:
        known = [lenses.get(db, env, lens)] if lens else lenses.list_all(db, env)
        queue = jobs.queue_counts(db, env, project.clock() - _DAY)
    rows = [_row(project, one) for one in known]
    if as_json:
        say_json(
            {
                "lenses": rows,
                "queue": {
                    "active": queue.active,
                    "pending": queue.pending,
                    "failed": queue.failed,
                    "completed24h": queue.completed,
                },
            }
        )
        return
    if not rows:
        say(f"No lens is registered in {env!r}. Register them: semilayer push")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("lens", "status", "vectors", "failed", "buffered", "progress", "next"):
        table.add_column(
            title, justify="right" if title in ("vectors", "failed", "buffered") else "left"
        )
    for row in rows:
        table.add_row(
            str(row["name"]),
            str(row["status"]),
            f"{row['vectors']:,}",
            f"{row['failed']:,}",
            f"{row['buffered']:,}",
            str(row["progress"] or ""),
            str(row["next"]),
        )
    console.print(table)
    for row in rows:
        if row["error"]:
            say(f"\n{row['name']}: {row['error']} {row['cure'] or ''}")
    say(
        f"\nQueue: {queue.active} active, {queue.pending} pending, {queue.failed} failed, "
        f"{queue.completed} completed (24h)"
    )


def _row(project: Project, lens: Lens) -> dict[str, object]:
    with project.registry.read() as db:
        active = generations.active(db, lens.id)
        running = jobs.running(db, lens.id)
        buffered = changes.buffered(db, lens.id)
        failed = failed_rows.count(db, lens.id)
    store = project.store(lens.env)
    vectors = (
        store.open(active.index_name).count() if active and store.exists(active.index_name) else 0
    )
    progress = None
    if running:
        counts, expected = progress_of(project, running[0])
        of = f" of {expected:,}" if expected else ""
        progress = f"{running[0].mode.value}: {counts.read:,}{of} rows"
    return {
        "name": lens.name,
        "status": lens.status.value,
        "vectors": vectors,
        "generation": active.number if active else None,
        "failed": failed,
        "buffered": buffered,
        "progress": progress,
        "needs": lens.needs.value,
        "next": _next(lens),
        "error": lens.error,
        "cure": lens.cure,
    }


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
