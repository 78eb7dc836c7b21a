"""`semilayer failed`: the rows that were set aside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import click
from rich.text import Text

from semilayer_pipelines.cli.combinations import only_with
from semilayer_pipelines.cli.context import (
    MOST_LISTED,
    Here,
    console,
    env_option,
    json_option,
    say,
    say_aside,
    say_json,
    without_controls,
)
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.cli.lens_selection import chosen_lenses, takes_lens
from semilayer_pipelines.cli.tables import table_of
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.counts import span, utc_text
from semilayer_pipelines.http.contract import HAS_VECTOR, INDEXED_AT
from semilayer_pipelines.registry import failed_rows
from semilayer_pipelines.registry.failed_rows import FailedRow

__all__ = ["failed"]


@click.command()
@takes_lens("Only this lens.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LISTED),
    default=20,
    show_default=True,
    help="How many rows are listed per lens at most; --retry takes all.",
)
@click.option("--retry", is_flag=True, help="Queue the job that retries them.")
@click.option("--wait", is_flag=True, help="With --retry: follow the jobs to their end.")
@env_option
@json_option
@click.pass_obj
def failed(
    here: Here, lens: str | None, limit: int, retry: bool, wait: bool, env: str, as_json: bool
) -> None:
    """List the rows that were set aside, and why; or retry them.

    They do not stop the others: all other rows are indexed, and every sync retries these. "old
    vector" is the age of what a row was before, if searches still find that.
    """
    only_with("--wait", "--retry")
    project = here.project
    with project.registry.read() as db:
        known = chosen_lenses(db, env, lens)
        totals = {one.name: failed_rows.count(db, one.id) for one in known}
        rows = {one.name: failed_rows.list_all(db, one.id, limit) for one in known}
    # Here, because it loads a store.
    from semilayer_pipelines.queries.old_vectors import old_vectors

    old = {one.name: old_vectors(project, one, rows[one.name]) for one in known}
    queued = {}
    if retry:
        for one in known:
            job = lifecycle.retry_failed(project, env, one.name)
            if job is not None:
                queued[one.name] = job.id
    if as_json:
        say_json(
            [
                {
                    "lens": name,
                    "total": totals[name],
                    "failed": [_as_json(row, old[name]) for row in found],
                    "job": queued.get(name),
                }
                for name, found in rows.items()
            ]
        )
    else:
        _show(rows, totals, old, project.clock())
    tell = say_aside if as_json else say
    for name, job_id in queued.items():
        tell(f"{name}: {totals[name]:,} set aside, tried again by job {job_id[:8]}.")
    if wait:
        follow(project, list(queued.values()), tell=tell)


def _show(
    rows: dict[str, list[FailedRow]],
    totals: dict[str, int],
    old: Mapping[str, Mapping[str, datetime] | None],
    now: datetime,
) -> None:
    if not any(totals.values()):
        say("No row is set aside.")
        return
    table = table_of("lens", "id", "at", "times", "last (UTC)", "old vector", "why")
    for name, found in rows.items():
        for row in found:
            when = f"{row.last_at:%Y-%m-%d %H:%M:%S}"
            times, age = str(row.attempts), _age(row, old[name], now)
            key, why = Text(without_controls(row.key)), Text(without_controls(row.reason))
            table.add_row(name, key, row.stage, times, when, age, why)
    console().print(table)
    for name, total in totals.items():
        if total > len(rows[name]):
            say(f"{name}: {total - len(rows[name]):,} more; show them with --limit {total}")


def _age(row: FailedRow, old: Mapping[str, datetime] | None, now: datetime) -> str:
    if old is None:
        return "not known"
    since = old.get(row.key)
    return "none" if since is None else span((now - since).total_seconds())


def _as_json(row: FailedRow, old: Mapping[str, datetime] | None) -> dict[str, object]:
    since = None if old is None else old.get(row.key)
    return {
        "id": row.key,
        "stage": row.stage,
        "reason": row.reason,
        "attempts": row.attempts,
        "firstAt": utc_text(row.first_at),
        "lastAt": utc_text(row.last_at),
        "job": row.job_id,
        HAS_VECTOR: None if old is None else since is not None,
        INDEXED_AT: utc_text(since) if since else None,
    }
