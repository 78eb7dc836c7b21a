"""A crash of the server hides rows: which, and how they are found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.stores.protocol import Index, IndexSchema
from semilayer_pipelines.stores.weaviate import index as indexes
from tests.orchestration.dev import until
from tests.stores.objects import DIMENSION, ONE_FIELD, hash_of, names, objects
from tests.stores.weaviate.doubled import MemoryStamps, changed, found_by, opened, write
from tests.weaviate_double.server import Double


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    index = opened(double, tmp_path).create("lens-g1", ONE_FIELD)
    write(index, objects(names(60)))
    return index


def test_a_restart_is_another_incarnation(double: Double, index: Index) -> None:
    before = index.incarnation()
    assert before is not None
    assert index.incarnation() == before
    double.kill_and_restart()
    assert index.incarnation() not in (None, before)


def test_for_a_role_that_may_not_ask_a_lost_connection_is_a_restart(tmp_path: Path) -> None:
    with Double.serving(denied={"read_cluster"}) as double:
        index = opened(double, tmp_path).create("lens-g1", ONE_FIELD)
        index.count()
        before = index.incarnation()
        assert before == "connection:1"
        assert index.incarnation() == before
        double.kill_and_restart()
        index.count()
        until(lambda: index.incarnation() not in (None, before), 10.0, "the lost connection")


def test_hidden_rows_are_held_and_found_again_when_they_are_rewritten(
    double: Double, index: Index
) -> None:
    double.kill_and_restart(hide=25)
    lost = index.hidden(names(60))
    assert len(lost) == 25
    assert index.count() == 60

    with index.lock():
        index.rewrite(lost)

    assert index.hidden(names(60)) == []
    assert found_by(index, objects(names(60))) == dict.fromkeys(names(60), 1.0)
    assert index.count() == 60


def test_writing_the_same_row_again_does_not_bring_it_back(double: Double, index: Index) -> None:
    """So nothing but another id will do."""
    double.kill_and_restart(hide=25)
    write(index, objects(names(60)))
    assert len(index.hidden(names(60))) == 25


def test_rewriting_keeps_all_that_an_object_holds(index: Index) -> None:
    before = index.get("key-000003")
    with index.lock():
        assert index.rewrite(["key-000003", "not there"]) == 1
    assert index.get("key-000003") == before


def test_the_last_written_are_told_by_their_vectors_not_by_their_rows(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "TAIL_ROWS", 5)
    write(index, changed(names(5, start=100), "new"))
    # Rows that change while their text stays keep their vectors where they are.
    again = objects(names(60)).with_columns(_row_hash=hash_of("changed"))
    write(index, again)
    assert sorted(index.last_written(datetime.now(UTC) + timedelta(hours=1))) == names(5, 100)


def test_what_was_written_since_is_told_whatever_its_number(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "TAIL_ROWS", 1)
    since = datetime.now(UTC)
    write(index, changed(names(20), "new"))
    assert sorted(index.last_written(since)) == names(20)


def test_each_tenant_has_last_rows_of_its_own(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "TAIL_ROWS", 3)
    schema = IndexSchema(ONE_FIELD.fields, DIMENSION, "title")
    index = opened(double, tmp_path, MemoryStamps()).create("tenants-g1", schema)
    for tenant in ("one", "two"):
        write(index, objects([f"{tenant}-{n}" for n in range(10)], title=tenant))
        write(index, objects([f"{tenant}-last-{n}" for n in range(3)], title=tenant))
    expected = sorted(f"{tenant}-last-{n}" for tenant in ("one", "two") for n in range(3))
    assert sorted(index.last_written(datetime.now(UTC) + timedelta(hours=1))) == expected

    double.kill_and_restart(hide=3)
    assert sorted(index.hidden([*expected, "one-1", "two-2"])) == expected
    with index.lock():
        assert index.rewrite(expected) == 6
    assert index.hidden(expected) == []
