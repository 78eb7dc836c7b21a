"""Rows that have no time of a change until their first edit are followed by when they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.ingest.open_lens import open_lens
from semilayer_pipelines.queries.source_lag import source_lag
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import Lab
from tests.sources import SourceDatabase

FIELDS = {"name": {"type": "text", "searchable": True}}
NOW = "2024-05-01 10:00:{:02d}.000000"


@pytest.fixture
def lab(source: SourceDatabase, tmp_path: Path) -> Lab:
    """Ten rows, of which every other was edited since it came; not pushed."""
    moment, text = source.type("moment"), source.type("text")
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, name {text}, created_at {moment}, "
        f"updated_at {moment})"
    )
    rows = [(n, f"row {n}", NOW.format(n), NOW.format(n + 5) if n % 2 else None) for n in range(10)]
    source.insert("items", rows)
    folder = tmp_path / "project"
    folder.mkdir()
    made = Lab.opened(folder, {})
    made.connection = source.url
    return made


def name_of(lab: Lab, key: str) -> Any:
    found = lab.index.get(key)
    return found and found["name"]


def test_new_and_edited_rows_are_both_brought_in(source: SourceDatabase, lab: Lab) -> None:
    lab.push(fields=FIELDS)
    lab.full()
    with open_lens(lab.project, lab.lens) as opened:
        assert opened.tracked == ("updated_at", "created_at")

    source.insert("items", [(99, "brand new", NOW.format(40), None)])
    done = lab.run(lab.request(Mode.INCREMENTAL))
    assert name_of(lab, "99") == "brand new"
    assert done.counts.untracked == 0
    source.run(f"UPDATE items SET name = 'edited', updated_at = '{NOW.format(50)}' WHERE id = 99")
    lab.run(lab.request(Mode.INCREMENTAL))
    assert name_of(lab, "99") == "edited"
    source.run(f"UPDATE items SET name = 'first', updated_at = '{NOW.format(51)}' WHERE id = 0")
    lab.run(lab.request(Mode.INCREMENTAL))

    assert name_of(lab, "0") == "first"
    assert lab.sync().counts.missed_updates == 0


def test_what_nobody_follows_is_counted_and_said(source: SourceDatabase, lab: Lab) -> None:
    lab.push(fields=FIELDS, changeTrackingColumn="updated_at")
    lab.full()

    source.insert("items", [(99, "brand new", NOW.format(40), None)])
    done = lab.run(lab.request(Mode.INCREMENTAL))

    assert name_of(lab, "99") is None
    assert done.counts.untracked == 6
    lag = source_lag(lab.project, lab.lens)
    assert lag is not None
    assert (lag.column, lag.untracked) == ("updated_at", 6)


def test_several_columns_may_be_named(source: SourceDatabase, lab: Lab) -> None:
    lab.push(fields=FIELDS, changeTrackingColumn=["updated_at", "created_at"])
    lab.full()

    source.insert("items", [(99, "brand new", NOW.format(40), None)])
    lab.run(lab.request(Mode.INCREMENTAL))

    assert name_of(lab, "99") == "brand new"
    lag = source_lag(lab.project, lab.lens)
    assert lag is not None
    assert (lag.column, lag.untracked) == ("updated_at or created_at", 0)


def test_a_row_that_comes_after_all_had_a_value_is_not_missed(
    source: SourceDatabase, lab: Lab
) -> None:
    source.run("UPDATE items SET updated_at = created_at WHERE updated_at IS NULL")
    lab.push(fields=FIELDS)
    lab.full()
    lab.run(lab.request(Mode.INCREMENTAL))

    source.insert("items", [(99, "brand new", NOW.format(40), None)])
    lab.run(lab.request(Mode.INCREMENTAL))

    assert name_of(lab, "99") == "brand new"


@pytest.mark.parametrize("tracked", [["updated_at"], ["updated_at", "created_at"]])
def test_the_zero_date_of_mariadb_is_no_time_of_a_change(
    mariadb_source: SourceDatabase, tmp_path: Path, tracked: list[str]
) -> None:
    # given a table whose rows have the zero date until they are edited, as one was
    def run(*statements: str) -> None:
        with mariadb_source.engine.begin() as connection:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
            for statement in statements:
                connection.exec_driver_sql(statement)

    run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, created_at DATETIME NOT NULL, "
        "updated_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', KEY (updated_at))",
        "INSERT INTO items VALUES (1, 'edited', '2024-05-01 10:00:00', '2024-05-01 10:00:09')",
    )
    folder = tmp_path / "project"
    folder.mkdir()
    lab = Lab.opened(folder, {})
    lab.connection = mariadb_source.url
    lab.push(fields=FIELDS, changeTrackingColumn=tracked)
    lab.full()
    lab.run(lab.request(Mode.INCREMENTAL))

    # when a row comes
    run("INSERT INTO items (id, name, created_at) VALUES (2, 'new', '2024-05-01 11:00:00')")
    counts = lab.run(lab.request(Mode.INCREMENTAL)).counts

    # then it is brought in by the time it came, or counted as one that has none
    with_fallback = len(tracked) == 2
    assert (name_of(lab, "2") == "new") is with_fallback
    assert counts.untracked == (0 if with_fallback else 1)


def test_columns_of_different_types_are_refused_at_push(source: SourceDatabase, lab: Lab) -> None:
    with pytest.raises(SchemaMismatch, match="different types"):
        lab.push(fields=FIELDS, changeTrackingColumn=["updated_at", "id"])


def test_one_column_is_written_as_it_was_and_several_as_a_list() -> None:
    def lens(**changes: object) -> LensConfig:
        base = {"source": "main", "table": "items", "fields": FIELDS}
        return LensConfig.model_validate(base | changes)

    def written(config: LensConfig) -> object:
        return config.model_dump(mode="json", by_alias=True)["changeTrackingColumn"]

    assert written(lens()) is None
    assert written(lens(changeTrackingColumn=None)) is None
    assert written(lens(changeTrackingColumn="at")) == "at"
    assert written(lens(changeTrackingColumn=["at"])) == "at"
    assert written(lens(changeTrackingColumn=["at", "since"])) == ["at", "since"]
