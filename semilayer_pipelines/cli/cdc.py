"""`semilayer cdc` and `semilayer follow`: sources whose changes are read as they happen."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from semilayer_pipelines.cli.combinations import not_with, only_with
from semilayer_pipelines.cli.context import (
    Here,
    SuggestingGroup,
    env_option,
    json_option,
    say,
    say_as_is,
    say_aside,
    say_json,
)
from semilayer_pipelines.cli.feed_lines import feed_json, feed_line
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, feeds
from semilayer_pipelines.registry.feeds import FeedRow

if TYPE_CHECKING:
    from semilayer_pipelines.follow.installed import Installed

__all__ = ["cdc", "follow"]

_source = click.option("--source", metavar="NAME", help="Only this source; by default all.")
_dry_run = click.option("--dry-run", is_flag=True, help="Print the SQL; run none of it.")


@click.group(cls=SuggestingGroup)
def cdc() -> None:
    """Install, check and take away what following a source needs in its database."""


@cdc.command()
@_source
@_dry_run
@env_option
@json_option
@click.pass_obj
def install(here: Here, source: str | None, dry_run: bool, env: str, as_json: bool) -> None:
    """Make what `semilayer follow` reads; again after another table.

    For `cdc: logical` that is a publication of the tables that lenses read, and a slot. It needs
    the right to replicate, and the tables' owner. For `outbox` it is a schema with a table and
    functions, and triggers on the tables. A `binlog` is only checked. What is there already stays.
    """
    from semilayer_pipelines.follow.installed import chosen_sources, install

    done = [
        install(here.project, one, dry_run=dry_run)
        for one in chosen_sources(here.project, env, source)
    ]
    if as_json:
        say_json([_as_json(one) for one in done])
        return
    for one in done:
        _tell(one)
        for statement in one.statements:
            say_as_is(f"{statement};")
        if not one.statements:
            say(f"-- {one.source}: everything is there.")
        elif not dry_run:
            say(f"-- {one.source}: installed. Follow it: semilayer follow")


@cdc.command()
@_source
@click.option("--check", is_flag=True, help="Ask no database; fail unless all of it is followed.")
@env_option
@json_option
@click.pass_obj
def status(here: Here, source: str | None, check: bool, env: str, as_json: bool) -> None:
    """Show how each followed source stands, and what is wrong.

    With --check it is a probe: it ends with 3 when a source that says `cdc` is not followed.
    """
    if check:
        followed = _followed(here.project, env, source)
        if as_json:
            say_json([feed_json(row) for row in followed])
        for row in [] if as_json else followed:
            say(feed_line(row, here.project.clock()))
        if not (as_json or followed):
            say(f"No source of {env!r} says `cdc`, so there is nothing to follow.")
        return
    from semilayer_pipelines.follow.installed import chosen_sources, look

    found = [look(here.project, one) for one in chosen_sources(here.project, env, source)]
    if as_json:
        say_json([_as_json(one) for one in found])
        return
    now = here.project.clock()
    for one in found:
        if one.row is None:
            say(f"{one.source}: not installed: semilayer cdc install")
            continue
        say(feed_line(one.row, now))
        if one.statements:
            say("  not all is installed: semilayer cdc install")
        _tell(one)


@cdc.command()
@_source
@_dry_run
@click.option("--forget", is_flag=True, help="Ask no database: that of --source is gone for good.")
@env_option
@json_option
@click.pass_obj
def uninstall(
    here: Here, source: str | None, dry_run: bool, forget: bool, env: str, as_json: bool
) -> None:
    """Drop what was installed, also for a source that says `cdc` no more.

    End `semilayer follow` first, or take `cdc` out of the source and push. A slot that nobody reads
    keeps the server's log, so take it away when you give up following.
    """
    from semilayer_pipelines.follow import installed
    from semilayer_pipelines.follow.installed import installed_feeds, uninstall

    only_with("--forget", "--source")
    not_with("--forget", "--dry-run")
    if forget:
        (row,) = installed_feeds(here.project, env, source)
        installed.forget(here.project, row)
        told = f"forgotten; where its database is still there, drop {row.name} in it by hand."
        say_json({"source": source, "name": row.name}) if as_json else say(f"{source}: {told}")
        return
    done = {
        row.source: uninstall(here.project, row, dry_run=dry_run)
        for row in installed_feeds(here.project, env, source)
    }
    if as_json:
        say_json([{"source": name, "statements": list(run)} for name, run in done.items()])
        return
    for name, statements in done.items():
        for statement in statements:
            say_as_is(f"{statement};")
        say(f"-- {name}: {'nothing was run' if dry_run else 'gone'}.")
    if not done:
        say("Nothing is installed.")


@click.command()
@_source
@click.option("--all-envs", is_flag=True, help="Follow the sources of every environment.")
@env_option
@json_option
@click.pass_obj
def follow(here: Here, source: str | None, all_envs: bool, env: str, as_json: bool) -> None:
    """Read the changes of sources that say `cdc`, until Ctrl-C.

    They go to the lenses that read the tables, as those that the webhook takes. Two at once do no
    harm: one follows a source, the other stands by. It waits for sources that are pushed later.
    With --json each line that it says is a document.
    """
    not_with("--all-envs", "--env")
    from semilayer_pipelines.follow.run import follow_sources
    from semilayer_pipelines.orchestration.remote.nudge_thread import nudging

    _log_to_standard_output(as_json)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    say_aside("Following the sources that say `cdc`   (Ctrl-C ends it)")
    wanted = None if all_envs else env
    with nudging(here.project) as launcher:
        follow_sources(here.project, stop, env=wanted, only=source, launcher=launcher)


def _followed(project: Project, env: str, only: str | None) -> list[FeedRow]:
    """Return the feeds of the sources that say `cdc`; raise `Refused` where one is not followed."""
    from semilayer_pipelines.follow.installed import no_such_source
    from semilayer_pipelines.follow.run import sources_that_say_cdc

    with project.registry.read() as db:
        environments.get(db, env)
        rows = {row.source: row for row in feeds.list_all(db, env)}
    known = sorted(name for _, name in sources_that_say_cdc(project, env))
    if only is not None and only not in known:
        raise no_such_source(only, known)
    followed, now = [], project.clock()
    for name in known if only is None else [only]:
        row = rows.get(name)
        if row is None:
            raise Refused(f"{name}: nothing is installed.", cure="Make it: semilayer cdc install")
        if row.trouble is not None or not row.is_followed(now):
            raise Refused(feed_line(row, now))
        followed.append(row)
    return followed


class _JsonLines(logging.Formatter):
    """A line of the log as a document."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level = record.levelname.lower()
        return json.dumps({"at": at, "level": level, "message": record.getMessage()})


def _log_to_standard_output(as_json: bool) -> None:
    ours = logging.getLogger("semilayer_pipelines.follow")
    ours.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines() if as_json else logging.Formatter("%(asctime)s %(message)s"))
    ours.addHandler(handler)


def _tell(one: Installed) -> None:
    for finding in one.findings:
        mark = "!" if finding.stops else "-"
        say(f"  {mark} {finding.told} {finding.cure}")


def _as_json(one: Installed) -> dict[str, object]:
    return {
        "source": one.source,
        "installed": one.row is not None,
        "feed": None if one.row is None else feed_json(one.row),
        "tables": {table: list(columns) for table, columns in one.tables.items()},
        "findings": [
            {"told": finding.told, "cure": finding.cure, "stops": finding.stops}
            for finding in one.findings
        ],
        "statements": list(one.statements),
    }
