"""Whatever state an index is in, one sync makes it equal to the source (invariant 1)."""

from __future__ import annotations

from pathlib import Path

import lancedb
import pytest

from semilayer_pipelines.errors import GuardStopped
from semilayer_pipelines.registry import failed_rows
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.protocol import KEY, Index
from tests.lab import ENV, Lab, Verdict

ROWS = 2_000


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    return lab


def remove(index: Index, keys: list[str]) -> None:
    with index.lock():
        assert index.delete(keys) == len(keys)


def raw_table(lab: Lab) -> lancedb.table.Table:
    folder = lab.project.settings.home / "lance" / ENV
    return lancedb.connect(folder).open_table(lab.index.name)


def test_vectors_that_vanished_behind_our_back_come_back(lab: Lab) -> None:
    remove(lab.index, [str(n) for n in range(1, ROWS, 100)])
    assert lab.audit().missing == 20

    counts = lab.sync().counts

    assert lab.audit().clean
    assert (counts.embedded, counts.unchanged) == (20, ROWS - 20)


def test_objects_that_the_source_never_had_are_removed(lab: Lab) -> None:
    table = raw_table(lab)
    foreign = table.search().where("_key = '7'").limit(1).to_arrow().drop_columns(["_key"])
    table.add(foreign.add_column(0, table.schema.field("_key"), [["nobody's row"]]))
    assert lab.audit().orphan == 1

    lab.sync()

    assert lab.audit().clean


def test_two_objects_of_one_row_become_one(lab: Lab) -> None:
    table = raw_table(lab)
    table.add(table.search().where("_key IN ('7', '8', '1999')").limit(3).to_arrow())
    assert lab.audit().doubled == 3

    lab.sync()

    assert lab.audit().clean


def test_only_what_changed_is_embedded_and_only_what_is_gone_deleted(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET description = description || ' more' WHERE id % 100 = 1")
        db.execute("UPDATE items SET price = price + 1 WHERE id % 100 = 2")
        db.execute("DELETE FROM items WHERE id % 100 = 3")

    counts = lab.sync().counts

    assert lab.audit().clean
    assert (counts.embedded, counts.reused, counts.deleted) == (20, 20, 20)


def test_equal_texts_are_embedded_once_and_a_metadata_change_embeds_nothing(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'the same', description = 'text' WHERE id <= 10")
    lab.sync()
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'books'")

    counts = lab.sync().counts

    assert counts.embedded == 0
    assert lab.audit().clean


def test_a_poison_row_costs_one_row_until_it_is_mended(lab: Lab) -> None:
    # given 1 % changed rows, one of which cannot be mapped
    with lab.source() as db:
        db.execute("UPDATE items SET description = description || ' more' WHERE id % 100 = 1")
        db.execute("UPDATE items SET category = 'no such one' WHERE id = 101")

    # when the lens is synced
    counts = lab.sync().counts

    # then only that row is stale, and set aside with its reason
    assert (counts.written, counts.failed) == (19, 1)
    with lab.project.registry.read() as db:
        [failed] = failed_rows.list_all(db, lab.lens.id, 10)
    assert failed.key == "101"
    assert "category" in failed.reason
    assert "no such one" in failed.reason
    assert "101" in set(lab.indexed()[KEY])

    # and it is back, and off the list, after it was mended
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'books' WHERE id = 101")
    lab.sync()
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0


@pytest.mark.parametrize("gone", ["id <= 800", "1 = 1"])
def test_a_sync_that_would_delete_too_much_stops_and_deletes_nothing(lab: Lab, gone: str) -> None:
    with lab.source() as db:
        db.execute(f"DELETE FROM items WHERE {gone}")

    with pytest.raises(GuardStopped, match="Nothing was deleted") as stopped:
        lab.sync()

    assert "--confirm-deletes" in stopped.value.cure
    assert lab.index.count() == ROWS
    assert lab.lens.status is LensStatus.ERROR

    # and goes on when a person says so
    lab.sync(confirmed=True)
    assert lab.audit() == Verdict(0, 0, 0, 0)


def test_an_empty_source_deletes_nothing_even_from_a_small_index(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=5)
    lab.full()
    with lab.source() as db:
        db.execute("DELETE FROM items")

    with pytest.raises(GuardStopped):
        lab.sync()

    assert lab.index.count() == 5
