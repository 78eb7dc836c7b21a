"""A key of any type in several shards, and one that got another type since the index was built."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import Lab
from tests.sources import SourceDatabase

FIELDS = {"name": {"type": "text", "searchable": True}}
ROWS = 60


def key(kind: str, n: int) -> object:
    """Return the key of a row, in an order of its own."""
    match kind:
        case "uuid":
            return f"{n * 7919 % 65536:08x}-0000-4000-8000-{n:012x}"
        case "text":
            return f"{'aBcÄ é-_'[n % 8]}{n}"
        case "digits":
            return str(n)
        case _:
            return n * 100_000_007 if kind == "BIGINT" else n


def lab_of(source: SourceDatabase, folder: Path, kind: str) -> Lab:
    declared = {"digits": "text"}.get(kind, kind)
    declared = source.type(declared) if declared in ("text", "uuid") else declared
    source.run(
        f"CREATE TABLE items (id {declared} NOT NULL PRIMARY KEY, name {source.type('text')}, "
        f"updated_at {source.type('zoned moment')})"
    )
    source.insert("items", [(key(kind, n), f"row {n}", "2024-05-01 10:00:00") for n in range(ROWS)])
    folder.mkdir()
    lab = Lab.opened(folder, {})
    lab.connection = source.url
    lab.push(fields=FIELDS, shards=3, changeTrackingColumn="updated_at")
    lab.full()
    return lab


def move(source: SourceDatabase, *names: int) -> None:
    for n in names:
        source.run(
            f"UPDATE items SET name = 'moved {n}', updated_at = '2024-06-01 10:00:{n:02}' "
            f"WHERE name = 'row {n}'"
        )


def brings_in_each_way(lab: Lab, source: SourceDatabase, kind: str) -> None:
    """Have incremental, records and repair jobs bring in rows that moved, and leave others out."""
    lab.run(lab.request(Mode.INCREMENTAL))
    assert lab.audit().clean

    move(source, 2, 31, 58)
    with lab.project.registry.begin() as db:
        named = [(str(key(kind, n)), Action.UPSERT) for n in (2, 31, 58)]
        changes.append(db, lab.lens.id, named, lab.project.clock())
    lab.apply_all()
    assert lab.audit().clean

    move(source, 3, 32, 57)
    source.run("DELETE FROM items WHERE name IN ('row 4', 'row 33')")
    for shard in range(3):
        lab.run(lab.request(Mode.REPAIR, shard=shard))
    assert lab.audit().clean


@pytest.mark.parametrize(
    "kind",
    [
        "text",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("BIGINT", "uuid", "digits")),
    ],
)
def test_each_way_brings_in_rows_of_each_shard_whatever_the_key_is(
    source: SourceDatabase, tmp_path: Path, kind: str
) -> None:
    lab = lab_of(source, tmp_path / "p", kind)
    assert lab.audit().clean

    move(source, 1, 30)
    brings_in_each_way(lab, source, kind)

    move(source, 5, 34)
    source.run("DELETE FROM items WHERE name IN ('row 6', 'row 35')")
    assert lab.sync(full_walk=True).counts.deleted == 2
    assert lab.audit().clean


ALTERED = {
    "postgres": "ALTER TABLE items ALTER id TYPE {} USING id::text::{}",
    "mariadb": "ALTER TABLE items MODIFY id {} NOT NULL",
}
TO = {
    "postgres": [
        ("INTEGER", "TEXT"),
        ("INTEGER", "BIGINT"),
        ("INTEGER", "NUMERIC"),
        ("digits", "INTEGER"),
        ("uuid", "TEXT"),
    ],
    "mariadb": [
        ("INTEGER", "VARCHAR(40)"),
        ("INTEGER", "BIGINT"),
        ("INTEGER", "DECIMAL(20)"),
        ("digits", "INTEGER"),
        ("uuid", "VARCHAR(40)"),
    ],
}


@pytest.mark.parametrize(
    ("of", "kind", "to"),
    [
        pytest.param(of, *types, marks=[pytest.mark.slow] if at else [])
        for of, all_types in TO.items()
        for at, types in enumerate(all_types)
    ],
)
def test_a_key_that_gets_another_type_keeps_its_index_in_sync(
    of: str, kind: str, to: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: SourceDatabase = request.getfixturevalue(f"{of}_source")
    lab = lab_of(source, tmp_path / "p", kind)

    source.run(ALTERED[of].format(to, to))

    move(source, 1, 30, 59)
    brings_in_each_way(lab, source, kind)
    source.run("DELETE FROM items WHERE name IN ('row 6', 'row 35')")
    lab.sync(full_walk=True)
    assert lab.audit().clean
    lab.full()
    assert lab.audit().clean
