"""Options that mean something only beside others: none is taken and then ignored.

A flag that does nothing is taken for one that did: `push --wait` with nothing to wait for ends
well, and a CI job goes on to search an index that nobody filled.
"""

from __future__ import annotations

import click
from click.core import ParameterSource

__all__ = ["not_with", "only_with"]


def only_with(option: str, *others: str) -> None:
    """Raise `UsageError` where `option` was typed and none of `others` was."""
    if _typed(option) and not any(map(_typed, others)):
        raise click.UsageError(f"{option} needs {' or '.join(others)}.")


def not_with(option: str, *others: str) -> None:
    """Raise `UsageError` where `option` was typed and one of `others` was: it would be ignored.

    An argument is named as the help names it, such as `JOB_ID`.
    """
    beside = [other for other in others if _typed(other)]
    if _typed(option) and beside:
        raise click.UsageError(f"{option} and {beside[0]} do not go together: leave one out.")


def _typed(name: str) -> bool:
    """Say whether an option of the running command stands on its command line."""
    context = click.get_current_context()
    for parameter in context.command.params:
        named = parameter.human_readable_name if isinstance(parameter, click.Argument) else None
        if name == named or name in parameter.opts:
            source = context.get_parameter_source(parameter.name or "")
            return source is ParameterSource.COMMANDLINE
    raise AssertionError(f"{context.command_path} has no {name}")
