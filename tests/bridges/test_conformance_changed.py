"""What every SQL source keeps to when it is asked what changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from semilayer_pipelines.bridges.cursors import decode, encode
from semilayer_pipelines.bridges.protocol import Selection, Untracked
from semilayer_pipelines.bridges.times import start_before
from semilayer_pipelines.errors import SchemaMismatch
from tests.sources import SourceDatabase

NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)


def _tracked_table(source: SourceDatabase, moments: list[str | None]) -> Selection:
    moment = source.type("moment")
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, updated_at {moment})")
    source.insert("items", list(enumerate(moments)))
    return Selection("items", ("id",), ("id",))


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_rows_changed_in_the_same_instant_are_all_seen_once(
    source: SourceDatabase, limit: int
) -> None:
    early, late = "2024-05-01 10:00:00.000001", "2024-05-01 10:00:00.000002"
    selection = _tracked_table(source, [late, early, early, late, early, early, late])

    frame = source.walk_changed(selection, "updated_at", limit)

    assert frame["id"].to_list() == [1, 2, 4, 5, 0, 3, 6]


def test_a_walk_ends_with_the_place_to_go_on_from(source: SourceDatabase) -> None:
    selection = _tracked_table(source, ["2024-05-01 10:00:00.123456", "2024-05-01 10:00:01.000000"])

    page = source.bridge.read_changed(selection, "updated_at", None, 2)

    assert page.cursor is None
    assert page.last is not None
    after = source.bridge.read_changed(selection, "updated_at", page.last, 9)
    assert (after.frame.height, after.cursor, after.last) == (0, None, None)
    source.run("UPDATE items SET updated_at = '2024-05-01 10:00:02.000000' WHERE id = 0")
    again = source.bridge.read_changed(selection, "updated_at", page.last, 9)
    assert again.frame["id"].to_list() == [0]


def test_a_walk_with_an_overlap_sees_what_was_committed_late(source: SourceDatabase) -> None:
    selection = _tracked_table(source, ["2024-05-01 10:00:00.000000", "2024-05-01 10:01:00.500000"])
    last = source.bridge.high_water(selection, "updated_at")
    assert last is not None

    source.insert("items", [(7, "2024-05-01 10:00:45.250000")])

    (seen,) = decode(last)
    assert isinstance(seen, str)
    since = encode([start_before(seen, NOW, timedelta(seconds=30))])
    frame = source.walk_changed(selection, "updated_at", 9, since)
    assert frame["id"].to_list() == [7, 1]


def test_since_is_inclusive_to_the_microsecond(source: SourceDatabase) -> None:
    times: list[str | None] = [f"2024-05-01 10:00:00.00000{n}" for n in range(4)]
    selection = _tracked_table(source, times)
    assert source.bridge.high_water(selection, "updated_at") is not None

    source.run("DELETE FROM items WHERE id = 3")
    since = source.bridge.high_water(selection, "updated_at")
    source.insert("items", [(3, times[3])])

    frame = source.walk_changed(selection, "updated_at", 1, since)
    assert frame["id"].to_list() == [2, 3]


def test_rows_never_tracked_are_never_returned(source: SourceDatabase) -> None:
    selection = _tracked_table(source, [None, "2024-05-01 10:00:00.000000", None])

    assert source.walk_changed(selection, "updated_at", 1)["id"].to_list() == [1]


def test_nothing_tracked_has_no_high_water(source: SourceDatabase) -> None:
    selection = _tracked_table(source, [None])

    assert source.bridge.high_water(selection, "updated_at") is None


def test_a_version_number_can_be_tracked(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, version BIGINT)")
    source.insert("items", [(1, 9), (2, 10), (3, 2**60), (4, 2**60 + 1), (5, -1)])
    selection = Selection("items", ("id",), ("id",))

    assert source.walk_changed(selection, "version", 1)["id"].to_list() == [5, 1, 2, 3, 4]
    since = source.bridge.high_water(selection, "version")
    assert source.walk_changed(selection, "version", 1, since)["id"].to_list() == [4]
    assert source.walk_changed(selection, "version", 1, encode([10]))["id"].to_list() == [2, 3, 4]


def test_a_date_can_be_tracked(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, day DATE)")
    source.insert("items", [(1, "2024-05-02"), (2, "2024-05-01"), (3, "2024-05-02")])
    selection = Selection("items", ("id",), ("id",))

    assert source.walk_changed(selection, "day", 1)["id"].to_list() == [2, 1, 3]
    since = source.bridge.high_water(selection, "day")
    assert source.walk_changed(selection, "day", 1, since)["id"].to_list() == [1, 3]


def test_changed_rows_with_a_composite_key_say_their_shard(source: SourceDatabase) -> None:
    text, moment = source.type("text"), source.type("moment")
    source.run(f"CREATE TABLE items (a INTEGER, b {text}, updated_at {moment}, PRIMARY KEY (a, b))")
    same = "2024-05-01 10:00:00.000000"
    source.insert("items", [(n, t, same) for n in (2, 1) for t in ("y", "x")])
    plain = Selection("items", ("a", "b"), ("a", "b"))
    sharded = Selection("items", ("a", "b"), ("a", "b"), source.bridge.bounds(plain, 2))

    frame = source.walk_changed(sharded, "updated_at", 1)

    assert frame.rows() == [(1, "x", 0), (1, "y", 0), (2, "x", 1), (2, "y", 1)]


def test_an_unknown_tracking_column_is_an_error_and_not_a_full_scan(
    source: SourceDatabase,
) -> None:
    selection = _tracked_table(source, ["2024-05-01 10:00:00"])

    with pytest.raises(SchemaMismatch, match="did you mean 'updated_at'"):
        source.bridge.read_changed(selection, "updatedat", None, 9)


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_a_binary_row_version_can_be_tracked(source: SourceDatabase, limit: int) -> None:
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, version {source.type('binary')})")
    versions = [b"\x00\x01", b"\xff\x00", b"\x00\x00", b"\x41\x42", b"\x00\x01", b"\x7f\xff"]
    source.insert("items", list(enumerate(versions)))
    selection = Selection("items", ("id",), ("id",))

    def seen(since: bytes | None, upto: bytes | None) -> list[int]:
        frame = source.walk_changed(
            selection,
            "version",
            limit,
            None if since is None else encode([since]),
            None if upto is None else encode([upto]),
        )
        return list(frame["id"])

    assert seen(None, None) == [2, 0, 4, 3, 5, 1]
    assert seen(b"\x00\x01", b"\x41\x42") == [0, 4, 3]
    assert source.bridge.high_water(selection, "version") == encode([b"\xff\x00"])


@pytest.mark.parametrize("kind", ["moment", "zoned moment", "DATE"])
def test_what_a_walk_cannot_place_is_counted_and_left_out(
    source: SourceDatabase, kind: str
) -> None:
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, at {source.type(kind)})")
    days = ["2024-04-30", None, "2024-05-01", "2024-05-03", "2037-12-31", None, "2024-05-04"]
    source.insert("items", list(enumerate(days)))
    selection = Selection("items", ("id",), ("id",))

    end = source.bridge.high_water(selection, "at", NOW)

    assert source.bridge.untracked(selection, "at", NOW) == Untracked(missing=2, in_the_future=3)
    assert source.walk_changed(selection, "at", 1, None, end)["id"].to_list() == [0, 2]


def test_of_a_version_nothing_is_in_the_future(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, version BIGINT NOT NULL)")
    source.insert("items", [(1, 1), (2, 2**62)])
    selection = Selection("items", ("id",), ("id",))

    assert source.bridge.untracked(selection, "version", NOW) == Untracked(
        missing=0, in_the_future=0
    )
    end = source.bridge.high_water(selection, "version", NOW)
    assert source.walk_changed(selection, "version", 1, None, end)["id"].to_list() == [1, 2]


def test_a_walk_ends_at_the_largest_value_there_was_when_it_began(source: SourceDatabase) -> None:
    selection = _tracked_table(source, ["2024-05-01 10:00:00.000001", "2024-05-01 10:00:00.000002"])
    end = source.bridge.high_water(selection, "updated_at")
    source.insert("items", [(7, "2024-05-01 10:00:00.000003"), (8, "2024-05-01 10:00:00.000002")])

    assert source.walk_changed(selection, "updated_at", 1, None, end)["id"].to_list() == [0, 1, 8]
