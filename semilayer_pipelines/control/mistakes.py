"""The mistakes of several lenses as one error: whoever corrects a file wants to see all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import ConfigError, SemilayerError, Terminal, Transient, UserError

__all__ = ["for_each_lens"]

T = TypeVar("T")


def for_each_lens(lenses: Mapping[str, LensConfig], do: Callable[[str, LensConfig], T]) -> list[T]:
    """Do something for every lens; afterwards raise what went wrong, for all lenses at once.

    A source that does not answer is asked once, and not once for each of its lenses.
    """
    done: list[T] = []
    wrong: dict[str, SemilayerError] = {}
    silent: dict[str, SemilayerError] = {}
    for name, lens in lenses.items():
        if lens.source in silent:
            wrong[name] = silent[lens.source]
            continue
        try:
            done.append(do(name, lens))
        except SemilayerError as error:
            wrong[name] = error
            if isinstance(error, Transient):
                silent[lens.source] = error
    if wrong:
        raise _together(wrong)
    return done


def _together(wrong: Mapping[str, SemilayerError]) -> SemilayerError:
    errors = list(wrong.values())
    if len(wrong) == 1:
        (name,) = wrong
        errors[0].lens = name
        return errors[0]
    lenses: dict[str, list[str]] = {}
    for name, error in wrong.items():
        lenses.setdefault(f"{error.message} {error.cure}".strip(), []).append(repr(name))
    told = [
        f"  {'lens' if len(names) == 1 else 'lenses'} {', '.join(names)}: {what}"
        for what, names in lenses.items()
    ]
    return _worst(errors)("\n".join([f"{len(wrong)} lenses cannot be pushed:", *told]))


def _worst(errors: list[SemilayerError]) -> type[SemilayerError]:
    """Return what decides the exit code: a mistake before a refusal, that before an outage."""
    kinds = {type(error) for error in errors}
    if len(kinds) == 1 and kinds.pop().__init__ is SemilayerError.__init__:
        return type(errors[0])
    for kind, told_as in ((UserError, ConfigError), (Transient, Transient)):
        matching = [error for error in errors if isinstance(error, kind)]
        if (kind is UserError and matching) or len(matching) == len(errors):
            return told_as
    return Terminal
