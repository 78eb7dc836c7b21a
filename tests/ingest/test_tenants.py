"""A lens with tenants, from its source to its searches: the same with every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.errors import ConfigError, NotFound
from semilayer_pipelines.queries.search import search, similar
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from tests.ingest.test_kill import give_up_on_the_dead, start
from tests.lab import ENV, Lab
from tests.patience import eventually
from tests.weaviate_double.faults import Kind
from tests.workload import CATEGORIES, FIELDS

ROWS = 200
# One of the names is none that Weaviate takes for a tenant's.
SECTIONS = ("two words", *CATEGORIES)
SECTIONED = FIELDS | {"category": {"type": "text"}}


@pytest.fixture(params=["lancedb", "weaviate"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    told = {} if request.param == "lancedb" else request.getfixturevalue("environ")
    lab = Lab.at(tmp_path, rows=ROWS, environ=told, fields=SECTIONED, tenant="category", shards=2)
    yield lab
    store = lab.project.store(ENV)
    for name in store.names():
        store.drop(name)


def test_an_id_in_another_spelling_finds_its_row_in_its_tenant(lab: Lab) -> None:
    lab.full()
    move(lab, [1, 2], "two words")
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id IN (5, 6)")
    named = [("01", Action.UPSERT), ("2.0", Action.UPSERT), ("+5", Action.DELETE)]
    with lab.project.registry.begin() as db:
        told = [*named, ("006", Action.DELETE), ("x", Action.DELETE)]
        changes.append(db, lab.lens.id, told, lab.project.clock())

    counts = lab.run(lab.request(Mode.RECORDS)).counts

    assert (counts.written, counts.deleted, counts.failed) == (2, 2, 1)
    assert_in_line(lab)


over_weaviate = pytest.mark.parametrize("lab", ["weaviate"], indirect=True)


def move(lab: Lab, ids: list[int], section: str | None) -> None:
    with lab.source() as db:
        db.executemany(
            "UPDATE items SET category = ?, updated_at = '2026-06-01 00:00:00' WHERE id = ?",
            [(section, id) for id in ids],
        )


def tell(lab: Lab, ids: list[int], action: Action = Action.UPSERT) -> None:
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [(str(id), action) for id in ids], lab.project.clock())


def assert_in_line(lab: Lab) -> None:
    """Hold index and searches against the source: every row, and each in its section alone."""
    assert lab.audit().clean
    with lab.source() as db:
        wanted = dict(db.execute("SELECT id, category FROM items WHERE category IS NOT NULL"))
    assert lab.index.count() == len(wanted)
    for section in SECTIONS:
        found = search(lab.project, "items", "x", limit=1_000, where={"category": section})
        assert sorted(int(hit.id) for hit in found) == [
            id for id, its in wanted.items() if its == section
        ]


def test_rows_that_move_between_tenants_are_in_one_whatever_brought_them_there(lab: Lab) -> None:
    assert lab.full().counts.written == ROWS
    assert_in_line(lab)

    # named by the application: five move, one is deleted
    move(lab, [1, 2, 3, 4, 5], "two words")
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 6")
    tell(lab, [1, 2, 3, 4, 5])
    tell(lab, [6], Action.DELETE)
    counts = lab.run(lab.request(Mode.RECORDS)).counts
    assert (counts.written, counts.reused, counts.deleted) == (5, 5, 1)
    assert_in_line(lab)

    # found by the tracked column
    move(lab, [1, 10, 11], "garden")
    lab.run(lab.request(Mode.INCREMENTAL))
    assert_in_line(lab)

    # found by comparing all
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'two words' WHERE id % 9 = 0")
        db.execute("DELETE FROM items WHERE id % 20 = 0")
    lab.sync()
    assert_in_line(lab)
    assert lab.sync().counts.written == 0

    # and in an index built anew, which takes the vectors over
    move(lab, [1], "tools")
    assert lab.full().counts.embedded == 0
    assert_in_line(lab)


def test_a_row_without_a_tenant_is_set_aside_until_it_has_one(lab: Lab) -> None:
    move(lab, [7, 8], None)
    counts = lab.full().counts
    assert (counts.written, counts.failed) == (ROWS - 2, 2)
    with lab.project.registry.read() as db:
        listed = failed_rows.list_all(db, lab.lens.id, 10)
    assert {row.key: row.reason for row in listed} == dict.fromkeys(
        ("7", "8"), "field category: it is empty, so the row is no tenant's"
    )
    assert_in_line(lab)

    move(lab, [7, 8], "tools")
    lab.sync()
    assert_in_line(lab)
    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0


def test_a_search_has_to_name_whose_rows(lab: Lab) -> None:
    lab.full()
    for where in (None, {"name": "x"}, {"category": ["tools", "books"]}, {"category": None}):
        with pytest.raises(ConfigError, match="category must be named"):
            search(lab.project, "items", "x", where=where)


def test_similar_rows_are_of_the_rows_own_tenant_and_of_no_other(lab: Lab) -> None:
    lab.full()
    row = lab.index.get("3")
    assert row is not None

    found = similar(lab.project, "items", "3", limit=ROWS)

    assert found
    assert {hit.fields["category"] for hit in found} == {row["category"]}
    own = similar(lab.project, "items", "3", limit=ROWS, where={"category": row["category"]})
    assert own == found
    # Whoever may see another section only learns nothing of this row.
    other = next(section for section in SECTIONS if section != row["category"])
    with pytest.raises(NotFound, match="'3'"):
        similar(lab.project, "items", "3", where={"category": other})


def test_an_index_gets_its_tenants_by_a_rebuild_and_is_searched_as_before_until_then(
    lab: Lab,
) -> None:
    lab.push(fields=SECTIONED, shards=2)
    lab.full()
    lab.push(fields=SECTIONED, shards=2, tenant="category")
    pushed = lab.lens
    assert pushed.needs is Needs.REBUILD
    assert search(lab.project, "items", "x")

    assert lab.full().counts.embedded == 0

    assert lab.lens.needs is Needs.NOTHING
    with pytest.raises(ConfigError, match="category must be named"):
        search(lab.project, "items", "x")
    assert_in_line(lab)


@over_weaviate
@pytest.mark.parametrize(
    "mended_by", [Mode.RECORDS, pytest.param(Mode.SMART_SYNC, marks=pytest.mark.slow)]
)
def test_a_run_killed_between_the_new_row_and_the_old_leaves_one_after_the_next(
    lab: Lab, server: Any, mended_by: Mode
) -> None:
    # given a run that wrote rows to their new tenant, and died before they left the old
    lab.full()
    before = lab.index.count()
    with lab.source() as db:
        moved = [
            id for (id,) in db.execute("SELECT id FROM items WHERE category = 'tools' LIMIT 5")
        ]
    move(lab, moved, "books")
    tell(lab, moved)
    server.faults.calls.clear()
    server.faults.add("BatchDelete", Kind.STATUS, times=1_000)
    worker = start(lab, Mode.RECORDS)
    eventually(lambda: server.faults.calls.get("BatchDelete"))
    worker.kill()
    server.faults.waiting.clear()
    give_up_on_the_dead(lab)
    assert lab.index.count() == before + len(moved)

    # when the next run comes by
    if mended_by is Mode.RECORDS:
        lab.run(lab.request(Mode.RECORDS))
    else:
        lab.sync()

    # then nothing is there twice
    assert lab.index.count() == before
    assert_in_line(lab)
