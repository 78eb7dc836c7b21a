"""From an `sl.config.ts` to our configuration: names are mostly the same, and what is not is told.

The forms are those of the product's documentation: sources with a bridge package, lenses with
fields, transforms and intervals. Read-side parts (grants, feeds, relations) have no counterpart.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.contract import LENS_NAME
from semilayer_pipelines.starter.config_text import lens_name
from semilayer_pipelines.starter.imported import Imported, Note, fitting_lens, in_order, why_none
from semilayer_pipelines.starter.typescript import Program, Unknown

__all__ = ["from_product"]

_SQL = ("postgres", "mysql", "mariadb", "sqlite")
_ADDRESS = ("connectionString", "connection", "url", "path", "filename", "file")
_TOP = frozenset({"stack", "sources", "lenses"})
_SAME = ("source", "table", "syncInterval", "smartSyncInterval")
_LENS = frozenset({*_SAME, "primaryKey", "changeTrackingColumn", "fields"})
_WHY = {
    "grants": "who may search is up to your own service; see keys",
    "rules": "who may search is up to your own service; see keys",
    "auth": "callers show a key here; see `semilayer keys`",
    "facets": "say `searchable` on the fields instead",
    "feeds": "there are none here; search with conditions",
    "analyses": "there are none here",
    "relations": "there are none here; a view of the database can join tables",
}
_NO_COUNTERPART = "it has no counterpart here"


class _Notes(list[Note]):
    """Notes with the lines of a program."""

    def __init__(self, lines: dict[tuple[str, ...], int]) -> None:
        super().__init__()
        self._lines = lines

    def of(self, path: tuple[str, ...], why: str) -> None:
        """Note what stands at a path."""
        self.append(Note(self.line(path), ".".join(path), why))

    def line(self, path: tuple[str, ...]) -> int | None:
        """Return the line of a path, or of the nearest one around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)


def from_product(program: Program, name: str) -> Imported:
    """Return our configuration for what a file exports; raise `ConfigError` where it is none."""
    given = program.value
    lenses = given.get("lenses") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(lenses, dict):
        raise ConfigError(
            f"{name} has no `lenses` that can be read without running it.",
            cure="Write the object out in the file, without calls and loops.",
        )
    notes = _Notes(program.lines)
    for key in given.keys() - _TOP:
        notes.of((key,), _WHY.get(key, _NO_COUNTERPART))
    stack = given.get("stack")
    sources = _sources(given.get("sources"), notes)
    taken: dict[str, dict[str, Any]] = {}
    for lens, one in lenses.items():
        written = _lens(lens, one, sources, notes)
        if written is not None:
            taken[_lens_name(lens, taken, notes)] = written
    if lenses and not taken:
        lost = [note for note in in_order(notes) if note.what.startswith(("sources", "lenses"))]
        raise ConfigError(
            f"{name} has no lens that can be taken over.{why_none(lost)}",
            cure="Write one by hand, or let `semilayer init` look at the tables.",
        )
    used = {lens["source"] for lens in taken.values()}
    document = {
        "stack": stack if isinstance(stack, str) and stack else "project",
        "sources": {name: source for name, source in sources.items() if name in used},
        "lenses": taken,
    }
    return Imported(document, in_order(notes))


def _sources(given: Any, notes: _Notes) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, one in (given if isinstance(given, dict) else {}).items():
        path = ("sources", name)
        bridge = one.get("bridge") if isinstance(one, dict) else None
        kind = next((kind for kind in _SQL if kind in str(bridge)), None)
        if kind is None:
            notes.of(path, f"there is no bridge for {bridge!r}; its lenses are left out")
            continue
        found[name] = _source(name, one, kind, notes)
    return found


def _source(name: str, given: dict[str, Any], kind: str, notes: _Notes) -> dict[str, Any]:
    path, variable = ("sources", name), f"SEMILAYER_SOURCE_{_upper(name)}_URL"
    key = next((key for key in _ADDRESS if key in given), None)
    address = given.get(key) if key else None
    if not isinstance(address, str):
        notes.of(path, f"its address is not in the file; put it into the variable {variable}")
        address = f"${{{variable}}}"
    elif kind == "sqlite" and not address.startswith(("sqlite:", "${")):
        address = f"sqlite:///{address.removeprefix('file:')}"
    source: dict[str, Any] = {"bridge": "sql", "connection": address}
    if isinstance(given.get("timeout"), int):
        source["timeout"] = given["timeout"]
    try:
        SourceConfig.model_validate(source)
    except ValidationError:
        notes.of((*path, key or ""), f"it holds a secret; put it into the variable {variable}")
        source["connection"] = f"${{{variable}}}"
    for other in given.keys() - {"bridge", "timeout", key}:
        notes.of((*path, other), "not taken over; parameters of the URL may say it")
    return source


def _lens(
    name: str, given: Any, sources: dict[str, dict[str, Any]], notes: _Notes
) -> dict[str, Any] | None:
    path = ("lenses", name)
    if not isinstance(given, dict):
        notes.of(path, f"left out: {given!r} is no object that can be read")
        return None
    if given.get("source") not in sources:
        notes.of(path, f"left out: its source {given.get('source')!r} is not taken over")
        return None
    for key in given.keys() - _LENS:
        notes.of((*path, key), _WHY.get(key, _NO_COUNTERPART))
    fields = given.get("fields")
    fields = fields if isinstance(fields, dict) else {}
    lens: dict[str, Any] = {key: given[key] for key in _SAME if given.get(key) is not None}
    marked = [key for key, one in fields.items() if isinstance(one, dict) and one.get("primaryKey")]
    for key, named in (
        ("primaryKey", given.get("primaryKey") or (marked[0] if marked else None)),
        ("changeTrackingColumn", given.get("changeTrackingColumn")),
    ):
        if named is not None:
            lens[key] = _column(named, fields)
    lens["fields"] = {
        key: written
        for key, one in fields.items()
        if (written := _field((*path, "fields", key), one, notes)) is not None
    }
    for key in [key for key, value in lens.items() if isinstance(value, Unknown)]:
        notes.of((*path, key), f"left out: {lens.pop(key)!r}")
    kept, refused = fitting_lens(name, lens, notes.line)
    notes.extend(refused)
    return kept


def _lens_name(name: str, taken: dict[str, Any], notes: _Notes) -> str:
    """Return a name that a lens may have here: the same one, if possible."""
    fitting = name
    if not LENS_NAME.fullmatch(name) or name in taken:
        fitting = lens_name(name, set(taken))
        notes.of(("lenses", name), f"it is called {fitting} here; a name has letters, digits, - _")
    return fitting


def _column(named: Any, fields: dict[str, Any]) -> Any:
    """Return the column that is meant: the documentation names a column, some files a field."""
    field = fields.get(named) if isinstance(named, str) else None
    column = field.get("from") if isinstance(field, dict) else None
    return column if isinstance(column, str) else named


def _field(path: tuple[str, ...], given: Any, notes: _Notes) -> dict[str, Any] | None:
    if not isinstance(given, dict):
        notes.of(path, f"left out: {given!r} is no object that can be read")
        return None
    if given.get("type") == "relation":
        notes.of(path, f"left out: {_WHY['relations']}")
        return None
    field = {key: value for key, value in given.items() if key != "primaryKey"}
    steps = field.pop("transform", None)
    if steps is not None:
        kept = [
            step
            for step in (steps if isinstance(steps, list) else [steps])
            if _is_kept(step, path, notes)
        ]
        if kept:
            field["transform"] = kept
    for key in [key for key, value in field.items() if isinstance(value, Unknown)]:
        notes.of((*path, key), f"left out: {field.pop(key)!r}")
    return field


def _is_kept(step: Any, path: tuple[str, ...], notes: _Notes) -> bool:
    kind = step.get("type") if isinstance(step, dict) else step
    if isinstance(step, Unknown) or kind == "custom":
        notes.of(
            (*path, "transform"),
            "a function of JavaScript; write it in Python and name it as `module:function`",
        )
        return False
    return True


def _upper(name: str) -> str:
    return re.sub(r"\W+", "_", name).upper()
