"""`semilayer import`: a first sl.config.yaml from what another product reads."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import click

from semilayer_pipelines.cli.context import json_option, say, say_json
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.errors import ConfigError, Refused
from semilayer_pipelines.project import CONFIG_NAME
from semilayer_pipelines.starter.imported import Imported, imported_text
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
    of the new file too. An sl.config.yaml that is there is never overwritten.
    """
    target = Path.cwd() / (os.environ.get("SEMILAYER_CONFIG") or CONFIG_NAME)
    if target.exists():
        raise Refused(f"There is a {target.name} already.", cure="Move it away first.")
    found = _read(file)
    text = imported_text(file.name, found)
    new = target.with_name(f"{target.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        config = load_config(new)
        with target.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise Refused(f"There is a {target.name} already.", cure="Move it away first.") from None
    finally:
        new.unlink(missing_ok=True)
    if as_json:
        notes = [{"line": note.line, "what": note.what, "why": note.why} for note in found.notes]
        say_json({"file": str(target), "lenses": list(config.lenses), "notes": notes})
        return
    for name, lens in config.lenses.items():
        say(f"lens  {name}: {lens.table}")
    for note in found.notes:
        say(f"left  {note}")
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
