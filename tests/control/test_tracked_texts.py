"""A tracked column that does not sort by time is refused at push, with the cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.errors import SchemaMismatch
from tests.lab import Lab

FIELDS = {"name": {"type": "text", "searchable": True}}


def lab_of(folder: Path, column: str, *values: str) -> Lab:
    lab = Lab.opened(folder, {})
    with lab.source() as db:
        db.execute(f"CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, {column} TEXT)")
        db.executemany(
            "INSERT INTO items VALUES (?, ?, ?)", [(n, f"n{n}", v) for n, v in enumerate(values)]
        )
    return lab


def test_a_named_column_in_no_order_is_refused(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, "modified", "10/15/2023 10:00", "01/20/2024 09:00")

    with pytest.raises(SchemaMismatch, match=r"'modified'.*'01/20/2024 09:00'") as refusal:
        lab.push(fields=FIELDS, changeTrackingColumn="modified")

    assert "ISO 8601" in refusal.value.cure
    assert refusal.value.lens == "items"
    lab.push(fields=FIELDS, smartSyncInterval="24h")


def test_the_column_that_is_tracked_unasked_is_refused_only_where_it_is_used(
    tmp_path: Path,
) -> None:
    lab = lab_of(tmp_path, "updated_at", "10/15/2023 10:00")

    lab.push(fields=FIELDS)
    with pytest.raises(SchemaMismatch, match="updated_at"):
        lab.push(fields=FIELDS, syncInterval="5m")


def test_iso_texts_pass(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, "modified", "2024-05-01T10:00:00Z", "2024-05-01 10:00:00")

    lab.push(fields=FIELDS, changeTrackingColumn="modified", syncInterval="5m")
