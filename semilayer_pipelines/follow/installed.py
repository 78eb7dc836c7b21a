"""What `semilayer cdc` does: installs feeds, looks at them, and takes them away."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import ConfigError, NotFound, Refused, SourceUnreachable, nearest
from semilayer_pipelines.follow.feed import Finding, Setup, Watched
from semilayer_pipelines.follow.kinds import open_setup
from semilayer_pipelines.follow.readers import (
    FollowedSource,
    followed_sources,
    readings_of,
    watched,
)
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, feeds, sources
from semilayer_pipelines.registry.feeds import FeedRow

__all__ = [
    "Installed",
    "chosen_sources",
    "forget",
    "install",
    "installed_feeds",
    "look",
    "no_such_source",
    "uninstall",
]


@dataclass(frozen=True)
class Installed:
    """A feed as it stands: `statements` are left to run, or were run; `findings` are to be known.

    `row` is `None` before the first `install`.
    """

    source: str
    row: FeedRow | None
    tables: Watched
    findings: tuple[Finding, ...]
    statements: tuple[str, ...]


def chosen_sources(project: Project, env: str, name: str | None) -> list[FollowedSource]:
    """Return the sources of an environment that say `cdc`, or the one of this name.

    Raises `NotFound` for a name that is none, and `ConfigError` where no source says it.
    """
    known = {source.name: source for source in followed_sources(project, env)}
    if name is not None and name not in known:
        raise no_such_source(name, known)
    if not known:
        raise ConfigError(
            f"No source of {env!r} says how it is followed.",
            cure="Write `cdc: logical` (or outbox, binlog) into the source, and push.",
        )
    return [known[name]] if name is not None else list(known.values())


def no_such_source(name: str, known: Collection[str]) -> NotFound:
    """Return what to say of a name that is none of the sources that say `cdc`."""
    return NotFound(
        f"There is no source {name!r} that says `cdc`{nearest(name, known)}.",
        cure=f"Those that do: {', '.join(known) or 'none'}. Write it, and push.",
    )


def install(project: Project, source: FollowedSource, *, dry_run: bool = False) -> Installed:
    """Make what the feed of a source needs in its database; with `dry_run` only say what.

    Raises `Refused` with the first finding that stops it, and what the bridge raises.
    """
    assert source.config.cdc is not None
    with project.registry.begin() as db:
        is_new = feeds.get(db, source.env_id, source.name) is None
        # Its name must be known before: somebody else may run the statements.
        row = feeds.ensure(db, source.env_id, source.name, source.config.cdc)
    if row.kind is not source.config.cdc:
        raise Refused(
            f"source {source.name!r}: `cdc: {row.kind}` is installed.",
            cure=f"Take it away first: semilayer cdc uninstall --source {source.name}",
        )
    try:
        with _opened(project, source, row) as (setup, tables):
            findings = setup.findings()
            statements = setup.to_install()
            stops = [finding for finding in findings if finding.stops]
            if stops and not dry_run:
                more = f" ({len(stops) - 1} more: semilayer cdc status)" if len(stops) > 1 else ""
                raise Refused(f"source {source.name!r}: {stops[0].told}{more}", cure=stops[0].cure)
            if not dry_run:
                setup.run(statements)
            return Installed(source.name, row, tables, findings, statements)
    except ConfigError:
        # A kind that this database has not could never be taken away again.
        if is_new:
            with project.registry.begin() as db:
                feeds.remove(db, source.env_id, source.name)
        raise


def look(project: Project, source: FollowedSource) -> Installed:
    """Look at the feed of a source and at its database. Raises what the bridge raises."""
    with project.registry.read() as db:
        row = feeds.get(db, source.env_id, source.name)
    if row is None or row.kind is not source.config.cdc:
        return Installed(source.name, None, {}, (), ())
    with _opened(project, source, row) as (setup, tables):
        return Installed(source.name, row, tables, setup.findings(), setup.to_install())


def installed_feeds(project: Project, env: str, name: str | None) -> list[FeedRow]:
    """Return the feeds that were installed, also of sources that say `cdc` no more.

    Raises `NotFound`.
    """
    with project.registry.read() as db:
        environments.get(db, env)
        known = {row.source: row for row in feeds.list_all(db, env)}
    if name is not None and name not in known:
        raise NotFound(
            f"Nothing was installed for a source {name!r}{nearest(name, known)}.",
            cure=f"Installed: {', '.join(known) or 'nothing'}.",
        )
    return [known[name]] if name is not None else list(known.values())


def uninstall(project: Project, row: FeedRow, *, dry_run: bool = False) -> tuple[str, ...]:
    """Take away what was made in the database of a feed, and forget the feed.

    Returns the statements. Raises `NotFound` where the source is registered no more, and
    `ConfigError` or `SourceUnreachable` where its connection leads to no such database by now.
    """
    with project.registry.read() as db:
        config: SourceConfig = sources.get(db, row.env_id, row.source)
    try:
        with closing(open_setup(project, config, row, {})) as setup:
            statements = setup.to_uninstall()
            if not dry_run:
                setup.run(statements)
    except (ConfigError, SourceUnreachable) as error:
        gone = f"Is that database gone: semilayer cdc uninstall --source {row.source} --forget"
        error.cure = f"{error.cure} {gone}".lstrip()
        raise
    if not dry_run:
        forget(project, row)
    return statements


def forget(project: Project, row: FeedRow) -> None:
    """Forget a feed; what was made in its database stays there."""
    with project.registry.begin() as db:
        feeds.remove(db, row.env_id, row.source)


@contextmanager
def _opened(
    project: Project, source: FollowedSource, row: FeedRow
) -> Iterator[tuple[Setup, Watched]]:
    with closing(project.bridge(source.name, source.config)) as bridge:
        tables = watched(readings_of(source, bridge))
    with closing(open_setup(project, source.config, row, tables)) as setup:
        yield setup, tables
