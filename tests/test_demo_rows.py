"""The demo takes fewer rows on a slow machine, and still has every row that it speaks of."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "debian"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "source", raising=False)
    import source

    monkeypatch.delitem(sys.modules, "source")
    return source


@pytest.mark.parametrize(
    ("speed", "rows"),
    [(2.0, 500), (10.0, 600), (25.0, 1_500), (33.0, 1_900), (34.0, 2_000), (900.0, 2_000)],
)
def test_a_slow_machine_gets_as_many_rows_as_it_embeds_in_a_minute(
    source: ModuleType, speed: float, rows: int
) -> None:
    assert source.rows_in(60, speed) == rows


@pytest.mark.parametrize("rows", [500, 2_000])
def test_a_source_of_fewer_rows_has_all_that_the_demo_changes_and_asks_for(
    source: ModuleType, tmp_path: Path, rows: int
) -> None:
    database = tmp_path / "packages.db"

    made = source.create(database, rows)

    with closing(sqlite3.connect(database)) as db:
        names = {name for (name,) in db.execute("SELECT name FROM packages")}
        long = db.execute("SELECT 1 FROM packages WHERE length(description) > 1900").fetchall()
    assert made == len(names) == rows
    assert {*source.CHANGED_TEXT, *source.CHANGED_SECTION, *source.DELETED} <= names
    assert all(wanted & names for wanted in source.QUESTIONS.values())
    assert long, "some text is cut into chunks"
