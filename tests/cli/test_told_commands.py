"""A command that a message tells can be typed as it stands: it exists, with what it needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from semilayer_pipelines.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
HOLE = "VALUE"
"""Stands for what a message fills in."""

QUOTED = re.compile(r"`semilayer ([^`]+)`")
BARE = re.compile(
    r"(?<!`)\bsemilayer ([a-z]+(?: [a-z]+){0,2}(?: --[a-z-]+(?: [\w{}-]+)?| [\w-]*VALUE)*)(?!\w)"
)
GROUPS = {"keys", "envs", "alerts", "cdc"}
"""Told alone, they name a group of commands to look at."""

NONE = {
    ("semilayer_pipelines/cli/reference.py", "COMMAND --help"),
    ("semilayer_pipelines/config/schema.py", "configuration"),
    ("semilayer_pipelines/dev/dagster.py", f"dev {HOLE} {HOLE}"),
}
"""Is no command, or is filled in with an option."""


def texts(file: Path) -> Iterator[str]:
    """Return every text of a module that is no docstring, with holes for what is filled in."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    passed = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    passed |= {
        id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in nodes:
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def told() -> list[tuple[str, str]]:
    """Return every command that a text tells, with the file of it."""
    found = []
    for folder in ("semilayer_pipelines", "webhook"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for text in texts(file):
                name = str(file.relative_to(ROOT))
                found += [(name, it[1].strip()) for it in QUOTED.finditer(text)]
                found += [(name, it[1].strip()) for it in BARE.finditer(text)]
    return sorted({*found} - NONE)


def parsed(line: str) -> None:
    """Read a command line as the command would; raises `click.UsageError`."""
    words = line.split()
    command: click.Command = main
    context = click.Context(main, info_name="semilayer")
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        if isinstance(found, click.Group) and not words and name in GROUPS:
            return
        context = click.Context(found, info_name=name, parent=context)
        command = found
    command.parse_args(context, words)


@pytest.mark.parametrize(("file", "line"), told())
def test_a_told_command_can_be_typed(file: str, line: str) -> None:
    parsed(line)


def test_what_cannot_be_typed_is_found() -> None:
    for line in ("keys create", "keys create --type service", "resume --lense x", "pauze"):
        with pytest.raises(click.UsageError):
            parsed(line)
