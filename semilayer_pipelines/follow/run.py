"""Follows all sources of a project that say `cdc`, each in a thread, as they come and go."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from semilayer_pipelines.errors import NotFound, RegistryUnavailable, nearest
from semilayer_pipelines.follow.follower import Follower
from semilayer_pipelines.follow.launcher import Launcher
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import environments, feeds, sources

__all__ = ["follow_sources", "sources_that_say_cdc"]

logger = logging.getLogger(__name__)

PUSH_SECONDS = 2.0
"""How often a push is looked for that has another source followed."""

MOST_SOURCES = 64
"""Sources that one process follows; give the others to another process, with --source or --env."""


def sources_that_say_cdc(project: Project, env: str | None = None) -> list[tuple[str, str]]:
    """Return (environment, source) of what is to be followed; of all environments by default."""
    with project.registry.read() as db:
        known = [one for one in environments.list_all(db) if env in (None, one.slug)]
        return [
            (one.slug, name)
            for one in known
            for name, config in sources.list_all(db, one.id).items()
            if config.cdc is not None
        ]


def follow_sources(
    project: Project,
    stop: threading.Event,
    *,
    env: str | None = None,
    only: str | None = None,
    silence: timedelta = feeds.LEASE,
    launcher: Launcher | None = None,
) -> None:
    """Follow until `stop` is set: every source, those of one environment, or `only` one of it.

    `launcher` launches the jobs that are queued; without one, Dagster's sensor does.
    A fault of ours in one of them ends all, and is raised. Raises `NotFound` for an environment or
    a source that does not exist where others do: a misspelt one would be waited for for ever.
    """
    running: dict[tuple[str, str], Future[None]] = {}
    checked, said = False, ""
    with ThreadPoolExecutor(MOST_SOURCES, thread_name_prefix="follow") as pool:
        try:
            while not stop.is_set():
                wanted, line = [], ""
                try:
                    if not checked:
                        _check(project, env, only)
                    checked = True
                    wanted = _wanted(project, env, only)
                    if not wanted and not running:
                        line = f"Waiting for a push in which {_awaited(env, only)} says `cdc`."
                except RegistryUnavailable as error:
                    line = redact(str(error))
                if line and line != said:
                    logger.info("%s", line)
                said = line
                for one in wanted:
                    if one in running:
                        continue
                    if len(running) == MOST_SOURCES:
                        logger.warning("source %s/%s has to wait for a free place.", *one)
                    else:
                        follower = Follower(project, *one, stop, silence, launcher)
                        running[one] = pool.submit(follower.run)
                stop.wait(PUSH_SECONDS)
                for one, future in list(running.items()):
                    if future.done():
                        del running[one]
                        future.result()
        finally:
            stop.set()
    for future in running.values():
        future.result()


def _wanted(project: Project, env: str | None, only: str | None) -> list[tuple[str, str]]:
    return [one for one in sources_that_say_cdc(project, env) if only in (None, one[1])]


def _check(project: Project, env: str | None, only: str | None) -> None:
    with project.registry.read() as db:
        known = environments.list_all(db)
        if env is not None:
            environments.check_known(db, env)
        named = {
            n for one in known if env in (None, one.slug) for n in sources.list_all(db, one.id)
        }
    if only is not None and named and only not in named:
        raise NotFound(
            f"There is no source {only!r}{nearest(only, named)}.",
            cure=f"Sources: {', '.join(sorted(named))}.",
        )


def _awaited(env: str | None, only: str | None) -> str:
    named = "a source" if only is None else f"the source {only!r}"
    return f"{named} of {'any environment' if env is None else repr(env)}"
