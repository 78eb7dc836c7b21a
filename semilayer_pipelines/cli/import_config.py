"""`semilayer import`: a first sl.config.yaml from what another product reads."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from semilayer_pipelines.cli.context import json_option, say, say_json
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.starter.beside import told_beside, write_beside
from semilayer_pipelines.starter.imported import Imported, imported_text
from semilayer_pipelines.starter.new_file import new_config_file, write_new
from semilayer_pipelines.starter.pgai import from_pgai
from semilayer_pipelines.starter.product_config import from_product
from semilayer_pipelines.starter.typescript import read_typescript

__all__ = ["import_config"]

_PARSERS = {".sql": "sqlglot"} | dict.fromkeys(
    (".ts", ".mts", ".js", ".mjs", ".cjs"), "tree_sitter"
)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def import_config(file: Path, as_json: bool) -> None:
    """Write sl.config.yaml from an sl.config.ts or from pgai's SQL.

    The file is parsed and never run. It lists what has no counterpart here, and says so at the head
    of the new file too. An sl.config.yaml that is there is never overwritten. Dagster's files are
    put beside it if they are missing.
    """
    target = new_config_file()
    found = _read(file)
    config = write_new(target, imported_text(file.name, found))
    beside = write_beside(target.parent)
    if as_json:
        notes = [{"line": note.line, "what": note.what, "why": note.why} for note in found.notes]
        say_json(
            {
                "file": str(target),
                "beside": beside,
                "lenses": list(config.lenses),
                "notes": notes,
            }
        )
        return
    for name, lens in config.lenses.items():
        say(f"lens  {name}: {lens.table}")
    for note in found.notes:
        say(f"left  {note}")
    if beside:
        say(told_beside(beside))
    say(f"Wrote {target.name}. Look it over, then register its lenses: semilayer push")


def _read(file: Path) -> Imported:
    parser = _PARSERS.get(file.suffix.lower())
    if parser is None:
        raise ConfigError(
            f"{file.name} is neither an sl.config.ts nor a file of SQL.",
            cure=f"It reads files that end with {', '.join(_PARSERS)}.",
        )
    if find_spec(parser) is None:
        raise ConfigError(
            "The parsers of other products' files are not installed.",
            cure="Install them: pip install 'semilayer-pipelines[import]'",
        )
    try:
        # Editors on Windows put a mark before the text.
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ConfigError(f"{file} cannot be read: {why}.") from None
    if parser == "sqlglot":
        return from_pgai(text, file.name)
    return from_product(read_typescript(text, file.name), file.name)
