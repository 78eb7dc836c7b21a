"""The page `docs/cli.md`, generated from the commands themselves.

`python -m semilayer_pipelines.cli.reference > docs/cli.md`
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from semilayer_pipelines.cli.context import EXIT_CODES
from semilayer_pipelines.cli.main import main

__all__ = ["commands", "reference"]

_INTRODUCTION = """\
# CLI reference

<!-- Generated: python -m semilayer_pipelines.cli.reference > docs/cli.md -->

Every command works on the project of the current folder: the nearest folder upward with an
`sl.config.yaml`. `semilayer COMMAND --help` says the same as this page. Special words are
explained in the [glossary](glossary.md).

## Environments

`--env NAME` says which environment a command is about. Without it `SEMILAYER_ENV` does, and
without that it is `development`. An environment has its own lenses, keys, jobs, buffers and
indexes. No command and no key of one environment sees or changes another.

## JSON

With `--json`, standard output holds one JSON document and nothing else. Progress and remarks go to
standard error. A command that fails prints
`{"error": {"kind", "message", "cure", "lens", "exitCode"}}` instead; the kind of a wrong
option is `UsageError`. A command with `--wait` answers first. It tells of a later failure on
standard error, and by its exit code. Commands under `next` and `cure` can be typed as they stand.

## Completion

`eval "$(_SEMILAYER_COMPLETE=bash_source semilayer)"` in `~/.bashrc` completes commands and options.
For other shells write `zsh_source` or `fish_source`.

## Exit codes

They are the same for every command, and their meaning will not change.

"""

_AFTER_CODES = """
`verify` ends with 3 when an index is not in sync. `push` ends with 3 when it met drift or could ask
nobody. A usage error (an option that does not exist, a value that is no number) is 2, like all
wrong input.

## Commands

"""


def reference() -> str:
    """Return the page as Markdown."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    known = list(commands())
    listed = "".join(
        f"| [`{context.command_path}`](#{_anchor(context)}) | {_summary(context.command)} |\n"
        for context in known
    )
    return (
        _INTRODUCTION
        + f"| code | meaning |\n| --- | --- |\n{codes}"
        + _AFTER_CODES
        + f"| command | what it does |\n| --- | --- |\n{listed}"
        + "".join(f"\n### {context.command_path}\n\n{_section(context)}" for context in known)
    )


def commands() -> Iterator[click.Context]:
    """Return every command that does something, in the order of `--help`, sub-commands in place."""
    yield from _below(click.Context(main, info_name="semilayer"))


def _below(context: click.Context) -> Iterator[click.Context]:
    group = context.command
    if not isinstance(group, click.Group):
        yield context
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield from _below(click.Context(command, info_name=name, parent=context))


def _summary(command: click.Command) -> str:
    return _cell(inspect.cleandoc(command.help or "").partition("\n")[0])


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = f"{inspect.cleandoc(command.help or '')}\n\n```\n{usage}\n```\n"
    rows = [_row(p, context) for p in command.params if isinstance(p, click.Option)]
    if not rows:
        return text
    return text + "\n| option | meaning | default |\n| --- | --- | --- |\n" + "".join(rows)


def _row(option: click.Option, context: click.Context) -> str:
    value = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    names = ", ".join(option.opts) + value
    # As it was declared: the environment in which the page is made must not be in it.
    default = option.default if option.show_default and option.default is not None else ""
    if option.required:
        default = "**required**"
    elif default != "":
        default = f"`{default}`"
    return f"| `{_cell(names)}` | {_cell(option.help or '')} | {default} |\n"


def _anchor(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
