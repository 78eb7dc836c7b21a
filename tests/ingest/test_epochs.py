"""A column of epoch seconds, from its source to its date in the index."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import Lab
from tests.sources import SourceDatabase

SECONDS = {"type": "toDate", "unit": "seconds"}


def lab_of(source: SourceDatabase, folder: Path, declared: str, *values: object) -> Lab:
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, created {declared})")
    source.insert("items", [(n, f"row {n}", value) for n, value in enumerate(values)])
    folder.mkdir()
    lab = Lab.opened(folder, {})
    lab.connection = source.url
    return lab


def push(lab: Lab, *, tracked: str | None = None, **created: object) -> None:
    name = {"type": "text", "searchable": True}
    lab.push(
        fields={"name": name, "created": {"type": "date", **created}},
        changeTrackingColumn=tracked,
    )


def dates(lab: Lab) -> list[Any]:
    found = [lab.index.get(key) for key in sorted(lab.indexed()["_key"].to_list())]
    return [one["created"] for one in found if one is not None]


@pytest.mark.parametrize("declared", ["BIGINT", "DECIMAL(20,3)", "text"])
def test_seconds_that_nothing_says_to_be_seconds_are_refused_at_push(
    source: SourceDatabase, tmp_path: Path, declared: str
) -> None:
    lab = lab_of(source, tmp_path / "p", source.type(declared), 1_700_000_000, None, 0)

    with pytest.raises(ConfigError, match="created") as refusal:
        push(lab)
    assert "unit: seconds}" in refusal.value.cure
    assert refusal.value.lens == "items"

    push(lab, transform=SECONDS)
    lab.full()
    assert dates(lab) == [
        datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        None,
        datetime(1970, 1, 1, tzinfo=UTC),
    ]


@pytest.mark.parametrize("declared", ["BIGINT", "DECIMAL(20,3)", "DOUBLE PRECISION"])
def test_a_tracked_column_of_seconds_brings_in_what_changed(
    source: SourceDatabase, tmp_path: Path, declared: str
) -> None:
    lab = lab_of(source, tmp_path / "p", declared, 1_700_000_000, 1_700_000_001)
    push(lab, tracked="created", transform=SECONDS)
    lab.full()

    source.run("UPDATE items SET name = 'changed', created = 1700000100 WHERE id = 0")
    lab.run(lab.request(Mode.INCREMENTAL))

    assert (lab.index.get("0") or {})["name"] == "changed"
    assert dates(lab)[0] == datetime(2023, 11, 14, 22, 15, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_an_integer_too_narrow_for_milliseconds_holds_seconds(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: SourceDatabase = request.getfixturevalue(f"{kind}_source")
    lab = lab_of(source, tmp_path / "p", "INTEGER", 1_700_000_000)

    push(lab, transform="toDate")
    lab.full()

    assert dates(lab) == [datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)]
