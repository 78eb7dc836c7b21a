"""Tables with keys of every shape, for the tests that every source runs."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from semilayer_pipelines.bridges.protocol import Selection
from tests.bridges.own_postgres import OwnPostgres
from tests.bridges.own_table import OwnTable
from tests.sources import SourceDatabase

# Version 4: MariaDB accepts no other layout.
_UUIDS = [
    str(uuid.UUID(int=n * 0x1F3A5C7E9B2D4F6812345678 + (n << 96), version=4)) for n in range(1, 8)
]

# Key shapes: name, key columns with their types, key values.
SHAPES: dict[str, tuple[tuple[tuple[str, str], ...], list[tuple[Any, ...]]]] = {
    "integer": (
        (("id", "BIGINT"),),
        [(n,) for n in (-(2**63), -5, -1, 0, 1, 2, 2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1)],
    ),
    "text": (
        (("id", "text"),),
        [(t,) for t in ("B", "a", "10", "9", "", "öl", "日本", "x y", "O'Brien", "%s\\", "🎉")],
    ),
    "uuid": ((("id", "uuid"),), [(u,) for u in _UUIDS]),
    "composite": (
        (("shop", "INTEGER"), ("lang", "text")),
        [(n, t) for n in (-1, 1, 2) for t in ("de", "en", 'f"r', "EN ü")],
    ),
    "three parts": (
        (("a", "INTEGER"), ("b", "uuid"), ("c", "BIGINT")),
        [(n, u, m) for n in (1, 2) for u in _UUIDS[:2] for m in (-7, 2**60, 3)],
    ),
}


@pytest.fixture(params=list(SHAPES))
def keyed(source: SourceDatabase, request: pytest.FixtureRequest) -> tuple[Selection, list[str]]:
    """A table with keys of one shape in no order; the selection and the key texts."""
    columns, keys = SHAPES[request.param]
    names = [name for name, _ in columns]
    declared = ", ".join(f"{name} {source.type(kind)} NOT NULL" for name, kind in columns)
    source.run(f"CREATE TABLE items ({declared}, title TEXT, PRIMARY KEY ({', '.join(names)}))")
    shuffled = random.Random(7).sample(keys, len(keys))
    source.insert("items", [(*key, f"title {i}") for i, key in enumerate(shuffled)])
    texts = [
        str(key[0])
        if len(key) == 1
        else json.dumps([str(part) for part in key], ensure_ascii=False, separators=(",", ":"))
        for key in keys
    ]
    return Selection("items", tuple(names), (*names, "title")), texts


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL server that nobody else uses, to be stopped and started."""
    yield from OwnPostgres.opened()


@pytest.fixture
def table(own_postgres: OwnPostgres) -> Iterator[OwnTable]:
    """A table `items` of 50 rows on that server."""
    yield from OwnTable.opened(own_postgres)
