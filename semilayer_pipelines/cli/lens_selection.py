"""Which lenses a command is about: the one that `--lens` names, or all of the environment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from sqlalchemy import Connection

from semilayer_pipelines.registry import environments, lenses
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["check_confirmed", "chosen_lenses", "lens_and_words", "takes_lens"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def chosen_lenses(db: Connection, env: str, name: str | None) -> list[Lens]:
    """Return the lens called `name`, or all of `env` without one.

    Raises `NotFound` for a name or an environment that does not exist. A misspelt one would have
    nothing out of sync and nothing failed, which a nightly job would take for good news.
    """
    if name is not None:
        return [lenses.get(db, env, name)]
    environments.check_known(db, env)
    return lenses.list_all(db, env)


def check_confirmed(confirm_deletes: bool, lens: str | None) -> None:
    """Refuse to confirm the deletes of all lenses at once: nobody has looked at those of all."""
    if confirm_deletes and lens is None:
        raise click.UsageError("--confirm-deletes is for one lens: name it with --lens.")


def takes_lens(help: str, *, required: bool = False) -> Callable[[_Command], _Command]:
    """Let a command be told its lens both ways: `sync items` and `sync --lens items`."""

    def add(command: _Command) -> _Command:
        @functools.wraps(command)
        def chosen(*args: Any, lens: str | None, lens_argument: str | None, **rest: Any) -> Any:
            if lens is not None and lens_argument is not None:
                raise click.UsageError(f"One lens, please: {lens_argument!r} and --lens {lens!r}.")
            name = lens if lens is not None else lens_argument
            if name is None and required:
                raise click.UsageError("Which lens? Give its name.")
            return command(*args, lens=name, **rest)

        with_option = click.option("--lens", help=help)(chosen)
        argument = click.argument(
            "lens_argument", metavar="LENS" if required else "[LENS]", required=False
        )
        return argument(with_option)  # type: ignore[return-value]

    return add


def lens_and_words(words: Sequence[str], lens: str | None, *names: str) -> tuple[str, ...]:
    """Return lens and words of a command such as `search LENS TEXT`, which also takes `--lens`."""
    found = (*words,) if lens is None else (lens, *words)
    if len(found) != len(names):
        raise click.UsageError(f"It takes {' '.join(names)}, or --lens and the rest.")
    return found
