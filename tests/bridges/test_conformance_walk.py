"""What every SQL source keeps to when it is walked, whichever database it is."""

from __future__ import annotations

import polars as pl
import pytest

from semilayer_pipelines.bridges.protocol import Selection, Window
from tests.sources import SourceDatabase, key_texts


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_a_walk_returns_every_row_exactly_once(
    source: SourceDatabase, keyed: tuple[Selection, list[str]], limit: int
) -> None:
    selection, texts = keyed

    frame, sizes = source.walk(selection, limit)

    found = key_texts(frame, selection)
    assert sorted(found) == sorted(texts)
    # No empty page at the end, also when the rows are a multiple of the limit.
    assert sizes == [limit] * (len(texts) // limit) + [len(texts) % limit] * (
        len(texts) % limit > 0
    )


def test_integer_keys_come_in_the_order_of_numbers(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id BIGINT PRIMARY KEY)")
    source.insert("items", [(n,) for n in (10, 9, -10, -9, 2**53 + 1, 2**53)])

    frame, _ = source.walk(Selection("items", ("id",), ("id",)), 2)

    assert frame["id"].to_list() == [-10, -9, 9, 10, 2**53, 2**53 + 1]


def test_shards_cover_every_row_once_and_are_near_equal(
    source: SourceDatabase, keyed: tuple[Selection, list[str]]
) -> None:
    selection, texts = keyed

    bounds = source.bridge.bounds(selection, 3)

    windows = [Window(a, b) for a, b in zip([None, *bounds], [*bounds, None], strict=True)]
    parts = [key_texts(source.walk(selection, 2, window)[0], selection) for window in windows]
    assert sorted(key for part in parts for key in part) == sorted(texts)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert [source.bridge.count(selection, window) for window in windows] == sizes


def test_fewer_rows_than_shards_give_fewer_bounds(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    selection = Selection("items", ("id",), ("id",))
    assert source.bridge.bounds(selection, 4) == ()
    source.insert("items", [(1,), (2,)])

    bounds = source.bridge.bounds(selection, 4)

    assert len(bounds) == 1
    assert source.walk(selection, 9, Window(None, bounds[0]))[0]["id"].to_list() == [1]


def test_other_rows_coming_and_going_skip_and_repeat_nothing(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    source.insert("items", [(n,) for n in range(0, 40, 2)])
    selection = Selection("items", ("id",), ("id",))
    seen: list[int] = []
    window = Window()

    while True:
        page = source.bridge.read_page(selection, window, 3)
        seen += page.frame["id"].to_list()
        # When the page's last row and an earlier one go, and one comes behind what was read.
        source.run(f"DELETE FROM items WHERE id IN ({seen[-1]}, {seen[0]})")
        source.insert("items", [(seen[-1] - 1,)])
        if page.cursor is None:
            break
        window = Window(page.cursor)

    assert seen == list(range(0, 40, 2))


def test_rows_added_behind_the_cursor_are_in_the_same_walk(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    source.insert("items", [(n,) for n in range(4)])
    selection = Selection("items", ("id",), ("id",))
    first = source.bridge.read_page(selection, Window(), 2)

    source.insert("items", [(100,)])

    rest, _ = source.walk(selection, 2, Window(first.cursor))
    assert rest["id"].to_list() == [2, 3, 100]


def test_an_empty_table_gives_an_empty_page_with_its_columns(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, title TEXT, price DOUBLE PRECISION)")
    selection = Selection("items", ("id",), ("id", "title", "price"))

    page = source.bridge.read_page(selection, Window(), 10)

    assert (page.cursor, page.last, page.frame.height) == (None, None, 0)
    assert page.frame.schema == {"id": pl.Int64(), "title": pl.String(), "price": pl.Float64()}
    assert source.bridge.count(selection) == 0
    assert source.bridge.read_rows(selection, ["1"]).frame.schema == page.frame.schema


def test_columns_have_the_same_types_on_every_page(source: SourceDatabase) -> None:
    source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, title TEXT, n INTEGER, r DOUBLE PRECISION)"
    )
    source.insert("items", [(1, None, None, None), (2, "x", 5, 1.5), (3, None, 7, None)])
    selection = Selection("items", ("id",), ("id", "title", "n", "r"))

    schemas = [
        source.bridge.read_page(selection, Window(cursor), 1).frame.schema
        for cursor in (None, *_cursors(source, selection))
    ]

    expected = {"id": pl.Int64(), "title": pl.String(), "n": pl.Int64(), "r": pl.Float64()}
    assert schemas == [expected] * 3


def _cursors(source: SourceDatabase, selection: Selection) -> list[str]:
    found = []
    window = Window()
    while (cursor := source.bridge.read_page(selection, window, 1).cursor) is not None:
        found.append(cursor)
        window = Window(cursor)
    return found


def test_the_key_comes_along_when_it_was_not_selected(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, title TEXT)")
    source.insert("items", [(n, "t") for n in range(5)])

    frame, _ = source.walk(Selection("items", ("id",), ("title",)), 2)

    assert frame["id"].to_list() == [0, 1, 2, 3, 4]


def test_rows_without_a_complete_key_are_counted_and_left_out(source: SourceDatabase) -> None:
    text = source.type("text")
    source.run(f"CREATE TABLE items (a INTEGER, b {text}, title TEXT)")
    rows = [(1, "x", "t"), (1, None, "t"), (None, "x", "t"), (None, None, "t"), (2, "x", "t")]
    source.insert("items", rows)
    selection = Selection("items", ("a", "b"), ("a", "b", "title"))

    frame, _ = source.walk(selection, 1)

    assert key_texts(frame, selection) == ['["1","x"]', '["2","x"]']
    assert source.bridge.count(selection) == 2
    assert source.bridge.null_keys(selection) == 3


def test_a_walk_to_the_largest_key_there_was_ends_however_many_rows_follow(
    source: SourceDatabase, keyed: tuple[Selection, list[str]]
) -> None:
    # given a table of which each row but one was deleted, and its largest key then
    selection, texts = keyed
    last = source.bridge.last_key(selection)
    everything, _ = source.walk(selection, 100)
    source.run("CREATE TABLE others AS SELECT * FROM items", "DELETE FROM items")
    assert source.bridge.last_key(selection) is None
    assert last is not None
    middle, _ = source.walk(selection, 100, Window(None, last))
    assert middle.is_empty()
    source.run("INSERT INTO items SELECT * FROM others")

    # then it is the last row of a whole walk, and a walk up to it has every row
    assert last == source.bridge.read_page(selection, Window(), 100).last
    found, _ = source.walk(selection, 2, Window(None, last))
    assert key_texts(found, selection) == key_texts(everything, selection)
    assert sorted(key_texts(found, selection)) == sorted(texts)


def test_the_largest_key_of_a_shard_is_its_own(
    source: SourceDatabase, keyed: tuple[Selection, list[str]]
) -> None:
    selection, _ = keyed
    bounds = source.bridge.bounds(selection, 3)

    assert source.bridge.last_key(selection, Window(None, bounds[0])) == bounds[0]
    assert source.bridge.last_key(selection, Window(bounds[0], bounds[1])) == bounds[1]
    assert source.bridge.last_key(selection, Window(bounds[1])) == source.bridge.last_key(selection)


def test_rows_without_a_key_are_never_the_largest(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER)")
    source.insert("items", [(1,), (None,), (2,), (None,)])
    selection = Selection("items", ("id",), ("id",))

    last = source.bridge.last_key(selection)

    assert source.walk(selection, 9, Window(None, last))[0]["id"].to_list() == [1, 2]
