"""Dates that are none: the row is found, the job counts the value, and verify tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.errors import TooManyFailures
from semilayer_pipelines.queries.audit import audit
from tests.lab import Lab
from tests.sources import SourceDatabase

NONE = {
    "mariadb": ("DATETIME", "0000-00-00 00:00:00"),
    "postgres": ("TIMESTAMPTZ", "infinity"),
    "sqlite": ("DATETIME", "0000-00-00 00:00:00"),
}
ROWS = 300


@pytest.fixture
def lab(source: SourceDatabase, tmp_path: Path) -> Lab:
    """A table in which most rows have a date that is none; its lens is not pushed."""
    declared, none = NONE[source.kind]
    text = source.type("text")
    with source.engine.connect() as connection:
        if source.kind == "mariadb":
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
        connection.exec_driver_sql(
            f"CREATE TABLE items (id INTEGER PRIMARY KEY, name {text}, ends {declared})"
        )
        values = ", ".join(
            f"({n}, 'row {n}', '{none if n % 5 else '2024-05-01 10:00:00'}')" for n in range(ROWS)
        )
        connection.exec_driver_sql(f"INSERT INTO items VALUES {values}")
    folder = tmp_path / "project"
    folder.mkdir()
    made = Lab.opened(folder, {})
    made.connection = source.url
    return made


def test_rows_with_dates_that_are_none_are_indexed_and_counted(lab: Lab) -> None:
    lab.push(fields={"name": {"type": "text", "searchable": True}, "ends": {"type": "date"}})

    done = lab.full()

    assert (done.counts.written, done.counts.failed) == (ROWS, 0)
    assert done.counts.nulled == ROWS * 4 // 5
    assert (lab.index.get("1") or {})["ends"] is None
    assert (lab.index.get("5") or {})["ends"] is not None
    found = audit(lab.project, lab.lens)
    assert found.in_line
    assert found.nulled == {"ends": ROWS * 4 // 5}


def test_a_lens_may_insist_on_every_value(lab: Lab) -> None:
    lab.push(
        onMisfit="fail",
        fields={"name": {"type": "text", "searchable": True}, "ends": {"type": "date"}},
    )

    with pytest.raises(TooManyFailures, match="ends"):
        lab.full()


def test_another_answer_to_misfits_needs_a_sync_and_no_rebuild(lab: Lab) -> None:
    name = {"type": "text", "searchable": True}
    lab.push(fields={"name": name, "ends": {"type": "date"}})
    lab.full()

    lab.push(onMisfit=None, fields={"name": name, "ends": {"type": "date"}})

    assert lab.lens.needs.value == "smart_sync"
    lab.sync()
    assert audit(lab.project, lab.lens).in_line
