"""Environments: made with a key for each kind of caller, deleted with all that they hold."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection

from semilayer_pipelines.control.push import apply_push, plan_removal
from semilayer_pipelines.errors import NotFound, Refused
from semilayer_pipelines.ingest.lease import LEASE
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import (
    api_keys,
    dropped_indexes,
    environments,
    feeds,
    jobs,
    lenses,
)
from semilayer_pipelines.registry.api_key import KeyKind
from semilayer_pipelines.registry.api_keys import ApiKey
from semilayer_pipelines.registry.environments import Environment
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = [
    "Contents",
    "IssuedKey",
    "contents",
    "create_environment",
    "delete_environment",
    "first_keys",
]

FIRST_KEY_NAME = "first key"
"""Name of the keys that an environment gets when it is made."""

RUNS_STOP_S = 60.0
"""A deletion waits so many seconds for the runs of its environment to stop."""

_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class IssuedKey:
    """A new key and its text, which nobody can show again."""

    key: ApiKey
    text: str


@dataclass(frozen=True)
class Contents:
    """What an environment holds: its lenses by name, and how many keys that still open it."""

    lenses: tuple[str, ...]
    keys: int


def create_environment(project: Project, slug: str) -> tuple[Environment, tuple[IssuedKey, ...]]:
    """Make an environment and one key of each kind.

    Raises `ConfigError` for a bad name and `Refused` if it is there.
    """
    with project.registry.begin(durable=True) as db:
        created = environments.create(db, slug, project.clock())
        return created, _issue(db, project, slug)


def first_keys(project: Project, slug: str) -> tuple[IssuedKey, ...]:
    """Make the environment if there is none, and its keys if it never had one; return the new keys.

    Raises `ConfigError` for a bad name.
    """
    with project.registry.begin(durable=True) as db:
        env = environments.ensure(db, slug, project.clock())
        environments.lock(db, env.id)
        return () if api_keys.list_all(db, slug) else _issue(db, project, slug)


def contents(project: Project, slug: str) -> Contents:
    """Return what a deletion of an environment would take with it. Raises `NotFound`."""
    with project.registry.read() as db:
        environments.get(db, slug)
        keys = [key for key in api_keys.list_all(db, slug) if key.revoked_at is None]
        return Contents(tuple(lens.name for lens in lenses.list_all(db, slug)), len(keys))


def delete_environment(project: Project, slug: str) -> Contents:
    """Remove the lenses of an environment with their indexes, then its keys and itself.

    It waits for running jobs to stop. What a crash or a store that is away leaves undone, the next
    call does: the environment itself goes last. Returns what there was. Raises `NotFound`,
    `Refused` while a run does not stop or a source is followed, `Overtaken` when somebody pushes
    meanwhile, and what the store raises.
    """
    held = contents(project, slug)
    with project.registry.read() as db:
        _refuse_followed(db, slug)
    _stop_runs(project, slug)
    for name in held.lenses:
        try:
            removal = plan_removal(project, slug, name)
        except NotFound:
            continue  # another deletion was faster
        apply_push(project, removal)
    with project.registry.read() as db:
        left = dropped_indexes.of_env(db, slug)
    for index in left:
        project.store(slug).drop(index)
    with project.registry.begin(durable=True) as db:
        env = environments.get(db, slug)
        environments.lock(db, env.id)
        _refuse_followed(db, slug)  # once more: nothing can be installed from here on
        pushed = [lens.name for lens in lenses.list_all(db, slug)]
        if pushed:
            raise Refused(
                f"{', '.join(pushed)} was pushed to {slug!r} while it was being deleted.",
                cure=f"See why, then delete again: semilayer envs delete {slug}",
            )
        for index in left:
            dropped_indexes.forget(db, index)
        environments.remove(db, env.id)
    return held


def _refuse_followed(db: Connection, slug: str) -> None:
    """Refuse to forget where something was installed: a slot would keep the server's log."""
    followed = [row.source for row in feeds.list_all(db, slug)]
    if followed:
        raise Refused(
            f"What follows {', '.join(followed)} is still installed in the database.",
            cure=f"Take it away first: semilayer cdc uninstall --env {slug}",
        )


def _issue(db: Connection, project: Project, slug: str) -> tuple[IssuedKey, ...]:
    now = project.clock()
    return tuple(
        IssuedKey(*api_keys.create(db, slug, kind, FIRST_KEY_NAME, choose=secrets.choice, now=now))
        for kind in (KeyKind.SERVICE, KeyKind.SEARCH, KeyKind.INGEST)
    )


def _stop_runs(project: Project, slug: str) -> None:
    """Pause all lenses, and wait until no run writes: it could bring a dropped index back."""
    with project.registry.begin(durable=True) as db:
        for lens in lenses.list_all(db, slug):
            lenses.set_status(db, lens.id, LensStatus.PAUSED, now=project.clock())
    late = time.monotonic() + RUNS_STOP_S
    while running := _running(project, slug):
        if time.monotonic() > late:
            raise Refused(
                f"A run of {', '.join(running)} did not stop within {RUNS_STOP_S:.0f} s; "
                f"the lenses of {slug!r} are paused, and nothing was deleted.",
                cure="Delete again once `semilayer jobs` shows none running.",
            )
        time.sleep(_LOOK_EVERY_S)


def _running(project: Project, slug: str) -> list[str]:
    """Return the lenses at which a run works; one that fell silent has lost its process."""
    alive = project.clock() - LEASE
    with project.registry.read() as db:
        return [
            lens.name
            for lens in lenses.list_all(db, slug)
            if any(
                job.heartbeat_at is None or job.heartbeat_at > alive
                for job in jobs.running(db, lens.id)
            )
        ]
