"""Smart sync tells how much incremental ingest cannot have seen."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.ingest.missed_updates import _bound
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import Lab

MOVED = "2024-02-01 10:00:00"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab.at(tmp_path, rows=60)
    with lab.source() as db:
        db.execute("UPDATE items SET updated_at = ? WHERE id = 60", [MOVED])
    lab.full()
    lab.run(lab.request(Mode.INCREMENTAL))
    return lab


def test_rows_written_without_moving_the_column_are_counted(lab: Lab) -> None:
    # given a change that moved the column, two that did not, and a new row that came with an old
    # time; and a deleted row
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'a', updated_at = ? WHERE id = 1", [MOVED])
        db.execute("UPDATE items SET name = 'b' WHERE id IN (2, 3)")
        db.execute("INSERT INTO items VALUES (99, 'c', 'd', 1, 'books', '2024-01-01 10:00:00')")
        db.execute("DELETE FROM items WHERE id = 4")

    # when incremental ingest has done what it can, and smart sync the rest
    incremental = lab.run(lab.request(Mode.INCREMENTAL)).counts
    sync = lab.sync().counts

    # then it is told what incremental could not see
    assert (incremental.written, incremental.missed_updates) == (1, 0)
    assert (sync.written, sync.missed_updates, sync.deleted) == (3, 3, 1)
    assert lab.audit().clean
    assert lab.sync().counts.missed_updates == 0


def test_what_incremental_has_not_come_to_yet_is_no_miss(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'a', updated_at = ? WHERE id = 1", [MOVED])

    assert lab.sync().counts.missed_updates == 0


def test_a_changed_mapping_is_no_change_of_the_rows(lab: Lab) -> None:
    lab.push(fields={"name": {"type": "text", "searchable": {"weight": 2}}, **_others(lab)})

    counts = lab.sync().counts

    assert (counts.written, counts.missed_updates) == (60, 0)


def _others(lab: Lab) -> dict[str, object]:
    fields = lab.lens.config.model_dump(by_alias=True, exclude_unset=True)["fields"]
    return {name: field for name, field in fields.items() if name != "name"}


@pytest.mark.parametrize(
    ("value", "dtype", "earlier", "later"),
    [
        (
            "2026-01-01 10:00:00.000002",
            pl.Datetime("us"),
            datetime(2026, 1, 1, 10, 0, 0, 1),
            datetime(2026, 1, 1, 10, 0, 0, 3),
        ),
        (
            "2026-01-01 12:00:00+02",
            pl.Datetime("us", "UTC"),
            datetime(2026, 1, 1, 9, 59, tzinfo=UTC),
            datetime(2026, 1, 1, 10, 1, tzinfo=UTC),
        ),
        ("2026-01-02", pl.Date(), date(2026, 1, 1), date(2026, 1, 2)),
        ("2026-01-02", pl.String(), "2026-01-01 23:00", "2026-01-02 01:00"),
        (7, pl.Int64(), 6, 7),
        (Decimal("7.5"), pl.Float64(), 7.4, 7.6),
        (b"\x01\x00", pl.Binary(), b"\x00\xff", b"\x01\x01"),
    ],
)
def test_values_of_every_kind_are_compared_with_the_cursor(
    value: Scalar, dtype: pl.DataType, earlier: object, later: object
) -> None:
    bound = _bound(value, dtype)

    assert bound is not None
    assert pl.Series([earlier, later], dtype=dtype).to_frame("x").select(
        pl.col("x") < bound
    ).to_series().to_list() == [True, False]


def test_values_that_cannot_be_compared_are_not_counted() -> None:
    assert _bound(b"\x01", pl.Int64()) is None
    assert _bound("2026-01-01", pl.Boolean()) is None
