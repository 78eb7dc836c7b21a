"""A LanceDB vector index that has lost rows: it claims to cover them, and does not know them.

It is made as it may happen: the files of an index are those of an older one. The older one was
built from as many rows, so that the files are as long as they should be.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import lancedb
from lancedb.index import IvfSq

from semilayer_pipelines.stores.protocol import VECTOR
from tests.lab import ENV, Lab

__all__ = ["LOST", "lose_rows"]

LOST = 40
"""Rows that no search finds afterwards."""


def lose_rows(lab: Lab, rows: int) -> list[str]:
    """Let the lens's index of `rows` rows lose its last ones; return their keys."""
    kept = rows - LOST
    _replace_last(lab, kept, by=1_000)
    before = _built(lab)
    _replace_last(lab, kept, by=2_000)
    older, newer = before, _built(lab)
    shutil.rmtree(newer)
    shutil.copytree(older, newer)
    lab.project = Lab.opened(lab.folder, {}).project  # another process: nothing is in its cache
    return [str(number) for number in range(2_001, 2_001 + LOST)]


def _replace_last(lab: Lab, kept: int, *, by: int) -> None:
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id > ?", (kept,))
        db.execute(
            "INSERT INTO items SELECT id + ?, name || ' of ' || ?, description, price, category, "
            "updated_at FROM items WHERE id <= ?",
            (by, by, LOST),
        )
    lab.sync(confirmed=True)


def _built(lab: Lab) -> Path:
    """Build a vector index over all rows, and return its folder."""
    store = lab.project.settings.home / "lance" / ENV
    indexes = store / f"{lab.index.name}.lance" / "_indices"
    before = {*indexes.glob("*")}
    table = lancedb.connect(store).open_table(lab.index.name)
    table.create_index(VECTOR, config=IvfSq(distance_type="cosine", num_partitions=1), replace=True)
    [made] = {*indexes.glob("*")} - before
    return made
