"""Which lenses a command is about: the one that `--lens` names, or all of the environment."""

from __future__ import annotations

from sqlalchemy import Connection

from semilayer_pipelines.cli.context import DEFAULT_ENV
from semilayer_pipelines.registry import environments, lenses
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["check_env", "chosen_lenses"]


def chosen_lenses(db: Connection, env: str, name: str | None) -> list[Lens]:
    """Return the lens called `name`, or all of `env` without one.

    Raises `NotFound` for a name or an environment that does not exist. A misspelt one would have
    nothing out of sync and nothing failed, which a nightly job would take for good news.
    """
    if name:
        return [lenses.get(db, env, name)]
    check_env(db, env)
    return lenses.list_all(db, env)


def check_env(db: Connection, env: str) -> None:
    """Raise `NotFound` when there are environments, and `env` is none of them.

    The default environment always passes: nobody types its name, so it cannot be misspelt.
    """
    if env != DEFAULT_ENV and environments.list_all(db):
        environments.get(db, env)
