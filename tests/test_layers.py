"""Imports go one way: down the table of rooms in docs/how-it-works.md."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = "docs/how-it-works.md"
ROW = re.compile(r"^\| +(\d+) \| `(\S+)` \| .+ \|(.*)\|$", re.MULTILINE)
ALONE = {"client": {"httpx"}}
"""Rooms that may reach these libraries and no other, through whatever they import of ours."""

VERSION = "semilayer_pipelines.__version__"
"""The one name of the public face that every room may ask for."""


class Import(NamedTuple):
    """One import: the module that has it, the line, and the module that it names."""

    module: str
    line: int
    name: str


class Room(NamedTuple):
    """A row of the table: how high it lies, and the libraries that it shares with few."""

    layer: int
    libraries: frozenset[str]


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] or top if top == "semilayer_pipelines" else top


def rooms_of(page: str) -> dict[str, Room]:
    """Read the table: a folder, a module at the root or a package for each row."""
    rooms = {}
    for layer, path, libraries in ROW.findall(page):
        name = room_of(path.removesuffix("/__init__.py").removesuffix(".py").strip("/"))
        rooms[name] = Room(int(layer), frozenset(re.findall(r"`(\w+)`", libraries)))
    return rooms


def imports_of(module: str, source: str) -> Iterator[Import]:
    """Yield what a module imports, at its top and inside functions, by whole dotted names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(module, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner != VERSION:
                    yield Import(module, node.lineno, inner if inner in CODE else node.module)


def broken(found: Import, rooms: dict[str, Room]) -> str | None:
    """Return which rule an import breaks and what to do, or `None`."""
    here, there = room_of(found.module), room_of(found.name)
    at = f"{found.module}, line {found.line}, imports {found.name}"
    library = found.name.partition(".")[0]
    if library not in OURS:
        users = sorted(name for name, room in rooms.items() if library in room.libraries)
        if users and here not in users:
            return f"{at}: only {', '.join(users)} may. Ask one of them, or add it to {PAGE}."
    elif here != there and rooms[here].layer <= rooms[there].layer:
        lower, upper = rooms[here].layer, rooms[there].layer
        return (
            f"{at}: {here} (layer {lower}) lies below {there} (layer {upper}) or beside it. "
            f"Move what both need to a lower room of {PAGE}."
        )
    return None


def reached(start: str) -> Iterator[Import]:
    """Yield the imports of a room and of every module of ours behind them."""
    seen, waiting = set[str](), [module for module in CODE if room_of(module) == start]
    while waiting:
        if (module := waiting.pop()) not in seen:
            seen.add(module)
            for found in imports_of(module, CODE[module]):
                yield found
                waiting += [found.name] if found.name in CODE else []


PATHS = [path for top in ("semilayer_pipelines", "webhook") for path in (ROOT / top).rglob("*.py")]
CODE = {module_of(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PATHS}
OURS = {"semilayer_pipelines", "webhook"}
ROOMS = rooms_of((ROOT / PAGE).read_text(encoding="utf-8"))


def test_the_page_has_every_room_and_no_other() -> None:
    assert {room_of(module) for module in CODE} == set(ROOMS), f"mend the table of {PAGE}"


def test_imports_go_down_the_table_and_libraries_stay_in_their_rooms() -> None:
    imports = [found for module, code in CODE.items() for found in imports_of(module, code)]

    problems = [problem for found in imports if (problem := broken(found, ROOMS))]

    assert not problems, "\n".join(["", *problems])


def test_the_client_reaches_httpx_and_the_standard_library_alone() -> None:
    for room, libraries in ALONE.items():
        allowed = libraries | OURS | sys.stdlib_module_names
        strangers = [found for found in reached(room) if found.name.split(".")[0] not in allowed]

        assert not strangers, f"{room} has to do without: {strangers}"


def test_an_import_that_climbs_is_told_with_both_rooms_and_the_cure() -> None:
    code = "def late():\n    import dagster\n    from semilayer_pipelines.ingest import page\n"
    dagster, page = imports_of("semilayer_pipelines.registry.lenses", code)

    assert "lenses, line 2, imports dagster: only orchestration may." in str(broken(dagster, ROOMS))
    assert "registry (layer 3) lies below ingest (layer 6)" in str(broken(page, ROOMS))


def test_two_rooms_of_one_layer_do_not_import_each_other() -> None:
    sideways = Import("semilayer_pipelines.queries.state", 1, "semilayer_pipelines.control.push")
    inside = Import("semilayer_pipelines.queries.state", 1, "semilayer_pipelines.queries.search")

    assert "control (layer 8) or beside it" in str(broken(sideways, ROOMS))
    assert broken(inside, ROOMS) is None
