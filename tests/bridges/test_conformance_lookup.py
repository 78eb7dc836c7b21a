"""What every SQL source keeps to when rows are read by id."""

from __future__ import annotations

import polars as pl
import pytest

from semilayer_pipelines.bridges.protocol import SHARD_COLUMN, Selection, Window
from tests.sources import SourceDatabase, key_texts


def test_rows_are_found_by_the_text_of_their_key(
    source: SourceDatabase, keyed: tuple[Selection, list[str]]
) -> None:
    selection, texts = keyed

    found = source.bridge.read_rows(selection, texts)

    assert sorted(key_texts(found.frame, selection)) == sorted(texts)
    assert found.malformed == {}


def test_a_row_read_by_id_says_which_shard_it_is_in(
    source: SourceDatabase, keyed: tuple[Selection, list[str]]
) -> None:
    selection, texts = keyed
    bounds = source.bridge.bounds(selection, 3)
    windows = [Window(a, b) for a, b in zip([None, *bounds], [*bounds, None], strict=True)]
    expected = {
        key: number
        for number, window in enumerate(windows)
        for key in key_texts(source.walk(selection, 50, window)[0], selection)
    }
    sharded = Selection(selection.table, selection.key, selection.columns, bounds)

    frame = source.bridge.read_rows(sharded, texts).frame

    assert frame.schema[SHARD_COLUMN] == pl.Int32()
    got = dict(zip(key_texts(frame, selection), frame[SHARD_COLUMN].to_list(), strict=True))
    assert got == expected


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("7.5", "not an integer"),
        ("7e-1", "not an integer"),
        ("7_0", "not an integer"),
        ("７", "not an integer"),
        ("0x7", "not an integer"),
        ("NaN", "not an integer"),
        ("9e999", "out of range"),
        ("seven", "not an integer"),
        ("", "not an integer"),
        ("7\0", "not an integer"),
        ("99999999999999999999", "out of range"),
        ("9" * 5000, "not an integer"),
        ("\ud800", "surrogate"),
    ],
)
def test_a_malformed_integer_id_fails_nothing_but_itself(
    source: SourceDatabase, bad: str, reason: str
) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    source.insert("items", [(n,) for n in (7, 8)])

    found = source.bridge.read_rows(Selection("items", ("id",), ("id",)), ["7", bad, "8", "9"])

    assert sorted(found.frame["id"].to_list()) == [7, 8]
    assert list(found.malformed) == [bad]
    assert reason in found.malformed[bad] or "NUL" in found.malformed[bad]


@pytest.mark.parametrize(
    "bad", ["7", "[7]", '["7"]', '["7","x","y"]', '["x","en"]', "[", "{}", '[7,["en"]]', "[7,null]"]
)
def test_a_composite_id_of_another_shape_fails_nothing_but_itself(
    source: SourceDatabase, bad: str
) -> None:
    text = source.type("text")
    source.run(f"CREATE TABLE items (a INTEGER, b {text}, PRIMARY KEY (a, b))")
    source.insert("items", [(7, "en")])

    found = source.bridge.read_rows(
        Selection("items", ("a", "b"), ("a", "b")), [bad, '["7","en"]', '["7","de"]']
    )

    assert found.frame.rows() == [(7, "en")]
    # In SQLite a part that is declared as an integer may be a text.
    may_be = source.kind == "sqlite" and bad == '["x","en"]'
    assert list(found.malformed) == ([] if may_be else [bad])


def test_thousands_of_ids_are_read_in_one_call(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    source.insert("items", [(n,) for n in range(0, 3000, 2)])

    ids = [str(n) for n in range(3000)] + ["4", "4"]
    found = source.bridge.read_rows(Selection("items", ("id",), ("id",)), ids)

    assert sorted(found.frame["id"].to_list()) == list(range(0, 3000, 2))


def test_no_ids_are_no_rows(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    selection = Selection("items", ("id",), ("id",))

    assert source.bridge.read_rows(selection, []).frame.schema == {"id": pl.Int64()}


def test_an_id_that_is_sql_is_only_an_id(source: SourceDatabase) -> None:
    text = source.type("text")
    source.run(f"CREATE TABLE items (id {text} PRIMARY KEY)")
    evil = "x'); DROP TABLE items; --"
    source.insert("items", [(evil,), ("y",)])
    selection = Selection("items", ("id",), ("id",))

    assert source.bridge.read_rows(selection, [evil]).frame["id"].to_list() == [evil]
    assert source.bridge.count(selection) == 2
