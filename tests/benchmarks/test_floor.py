"""The floor does the same work as the engine; else it would be no floor."""

from __future__ import annotations

from pathlib import Path

from benchmarks.catalogue import change
from benchmarks.floor import Floor
from tests.workload import create_items


def test_the_floor_keeps_its_table_in_step(tmp_path: Path) -> None:
    # given a table loaded once
    create_items(tmp_path / "source.db", 300)
    floor = Floor(tmp_path / "source.db", tmp_path / "lance")
    assert floor.full() == 300
    assert floor.sync() == 0
    # when rows change and go away
    change(
        tmp_path / "source.db",
        "UPDATE items SET description = 'other' WHERE id % 100 = 1",
        "DELETE FROM items WHERE id % 100 = 2",
    )
    # then exactly those are written, and a second sync finds nothing left to do
    assert floor.sync() == 3
    assert floor.sync() == 0
    assert floor._lance.open_table("items").count_rows() == 297
