"""Reading `sl.config.yaml`.

Every mistake that can be found without a database is reported in one error, a line each, with the
file, the line and the key. Nothing here connects to anything or reads an environment variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from semilayer_pipelines.config.bounded_yaml import LONGEST, composed, constructed
from semilayer_pipelines.config.lines import Lines, YamlPath, lines_of
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.config.plain import Unfit, made_plain, plain
from semilayer_pipelines.config.problems import path_of, sentence
from semilayer_pipelines.errors import ConfigError, nearest

__all__ = ["STARTER", "load_config", "place"]

STARTER = """\
stack: my-project
sources:
  main:
    bridge: sql
    connection: ${DATABASE_URL}
lenses:
  articles:
    source: main
    table: articles
    fields:
      title: {type: text, searchable: true}
"""
"""The shortest configuration that does something; shown to a person who has none."""


def _missing(message: str) -> ConfigError:
    return ConfigError(message, cure=f"Make one; the shortest is:\n\n{STARTER}")


def load_config(path: Path) -> ProjectConfig:
    """Read and check a configuration file.

    Raises one `ConfigError` for everything that is wrong, with a line
    `file:line: path.of.the.key: what is wrong` for each problem.
    """
    try:
        with path.open("rb") as file:
            read = file.read(LONGEST + 1)
        if len(read) > LONGEST:
            raise ConfigError(
                f"{path.name} is longer than {LONGEST // 1_000} kB.",
                cure="Give some of its lenses to a project of their own.",
            )
        text = read.decode("utf-8-sig")
    except FileNotFoundError:
        raise _missing(f"{path} does not exist.") from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.",
            cure="It has to be a file that this user may read.",
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path.name}:{line}: there are bytes that are no UTF-8.",
            cure="Save the file as UTF-8.",
        ) from None
    values, lines, unfit = _parsed(path, text)
    found: Unfit = []
    project: ProjectConfig | None = None
    try:
        project = ProjectConfig.model_validate(values)
    except ValidationError as error:
        found += [(path_of(e), sentence(e)) for e in error.errors(include_url=False)]
    found += _cross_checks(values)
    told = {where for where, _ in found}
    found += [(where, what) for where, what in unfit if where not in told]
    if project is None or found:
        raise ConfigError(_report(path.name, lines, found))
    return project


def place(path: Path, key: YamlPath) -> str:
    """Return `file:line: key: ` of a key of a lens or source, or of what it stands in.

    A default has no line of its own. Empty where the file does not have the lens or source.
    """
    try:
        root = composed(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, YAMLError):
        return ""
    lines = lines_of(root).by_path
    while len(key) > 1 and key not in lines:
        key = key[:-1]
    return f"{path.name}:{lines[key]}: {_dotted(key)}: " if len(key) > 1 else ""


def _report(name: str, lines: Lines, found: list[tuple[YamlPath, str]]) -> str:
    located = sorted(((*lines.located(where), what) for where, what in found), key=lambda p: p[1])
    return "\n".join(
        f"{name}:{line}: {_dotted(path)}{': ' if path else ''}{what}"
        for path, line, what in located
    )


def _dotted(path: YamlPath) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text.removeprefix("."))


def _parsed(path: Path, text: str) -> tuple[Any, Lines, Unfit]:
    try:
        root = composed(text)
        unfit = made_plain(root)
        values = constructed(root)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        # Only the key of a duplicate: the parser's message quotes both values, passwords included.
        problem = str(error.problem)
        if isinstance(error, DuplicateKeyError):
            problem = f"{problem.partition(' with value')[0]}; each key may be there once"
        raise ConfigError(f"{path.name}:{line}: {problem}.") from None
    except YAMLError as error:
        first = str(error).partition("\n")[0]
        raise ConfigError(f"{path.name}:1: this is not YAML: {first}.") from None
    if not isinstance(values, dict):
        raise _missing(f"{path.name}:1: expected the keys stack, sources and lenses.")
    return plain(values), lines_of(root), unfit


def _cross_checks(values: dict[str, Any]) -> Iterator[tuple[YamlPath, str]]:
    """Find what one model alone cannot see; looks at raw values, so that all is told at once."""
    sources = values.get("sources")
    lenses = values.get("lenses")
    known = list(sources) if isinstance(sources, dict) else []
    for name, lens in lenses.items() if isinstance(lenses, dict) else ():
        if not isinstance(lens, dict):
            continue
        source = lens.get("source")
        if isinstance(source, str) and source not in known:
            there = f"; there are {', '.join(known)}" if known else "; 'sources' is empty"
            yield (
                ("lenses", name, "source"),
                f"there is no source {source!r}{nearest(source, known)}{there}",
            )
        key = lens.get("primaryKey")
        if isinstance(key, list) and len(set(map(str, key))) < len(key):
            yield ("lenses", name, "primaryKey"), "a column is named twice"
