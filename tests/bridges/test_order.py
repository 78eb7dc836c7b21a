"""Texts that sort by time, and texts that only look as if they did."""

from __future__ import annotations

import pytest

from semilayer_pipelines.bridges.order import out_of_order
from semilayer_pipelines.bridges.protocol import Selection
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id",))

SORTED = [
    ["2024-05-01T10:00:00Z", "2024-05-02T09:00:00.5Z"],
    ["2024-05-01 10:00:00", "2024-05-01 10:00:00.123456", "2024-05-01"],
    ["2024-05-01T10:00:00+02:00", "2024-05-02T10:00:00+02:00"],
    ["2024-05-01T10:00:00Z", "2024-05-02T10:00:00+00:00", "2024-05-02T10:00:00"],
    ["20240501T100000Z", "20240502T100000Z"],
    ["20240501", "20241231"],
    ["20240501100000", "20240502100000"],
    ["1700000000", "1700000001"],
    ["1700000000.123", "1700000001.456"],
    ["000017", "000018"],
    ["018f3f6e-8a3b-7c11-9b2a-000000000001", "018f3f6e-8a3c-7c11-9b2a-000000000001"],
    ["01HX0ZZZZZZZZZZZZZZZZZZZZZ", "01HX1000000000000000000000"],
    [],
]
UNSORTED = [
    ["10/15/2023 10:00", "11/15/2022 10:00"],
    ["15.10.2023", "16.10.2023"],
    ["15102023", "16102023"],
    ["10152023", "11152023"],
    ["9", "10"],
    ["v1", "v2"],
    ["Mon, 01 May 2024", "Tue, 02 May 2024"],
    ["2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00+01:00"],
    ["2024-05-01T10:00:00Z", "2024-05-02T10:00:00+02:00"],
    ["2024-05-01T10:00:00", "soon"],
    ["2024-05-01", ""],
    ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ["10:00:00", "11:00:00"],
    ["1 day", "2 days"],
]


@pytest.mark.parametrize("texts", SORTED)
def test_what_provably_sorts_by_time_is_in_order(texts: list[str]) -> None:
    assert out_of_order(texts, both_notations=False) is None


@pytest.mark.parametrize("texts", UNSORTED)
def test_anything_else_is_out_of_order_and_shown(texts: list[str]) -> None:
    assert out_of_order(texts, both_notations=True) in texts


def test_both_notations_side_by_side_are_in_order_only_where_both_are_read() -> None:
    texts = ["2024-05-01T10:00:00Z", "2024-05-02 10:00:00"]

    assert out_of_order(texts, both_notations=True) is None
    assert out_of_order(texts, both_notations=False) == texts[1]


def _items(source: SourceDatabase, declared: str, *values: object) -> None:
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, v {declared})")
    if values:
        source.insert("items", list(enumerate(values)))


def test_every_source_looks_at_its_smallest_and_largest_texts(source: SourceDatabase) -> None:
    _items(source, source.type("text"), None, *["2024-05-01 10:00:00"] * 300, "n/a")
    assert source.bridge.out_of_order(ITEMS, "v") == "n/a"

    source.run("UPDATE items SET v = '01/02/2024' WHERE v = 'n/a'")
    assert source.bridge.out_of_order(ITEMS, "v") == "01/02/2024"

    source.run("DELETE FROM items WHERE v = '01/02/2024'")
    assert source.bridge.out_of_order(ITEMS, "v") is None


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("INTEGER", [9, 10]),
        ("DECIMAL(20,3)", ["9.5", "10.5"]),
        ("moment", ["2024-05-01 10:00:00", "2024-05-02 10:00:00"]),
        ("DATE", ["2024-05-01", "2024-05-02"]),
        ("binary", [b"\x01", b"\x02"]),
        ("text", []),
    ],
)
def test_columns_that_sort_by_their_type_are_in_order(
    source: SourceDatabase, declared: str, values: list[object]
) -> None:
    _items(source, source.type(declared), *values)

    assert source.bridge.out_of_order(ITEMS, "v") is None


def test_numbers_and_texts_in_one_column_are_out_of_order(sqlite_source: SourceDatabase) -> None:
    _items(sqlite_source, "DATETIME", 1_700_000_000, "2024-05-01 10:00:00")

    assert sqlite_source.bridge.out_of_order(ITEMS, "v") is not None


def test_random_identifiers_are_out_of_order_and_log_positions_are_not(
    postgres_source: SourceDatabase,
) -> None:
    _items(postgres_source, "UUID", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    postgres_source.run(
        "ALTER TABLE items ADD at pg_lsn DEFAULT '0/16B3748', ADD span interval DEFAULT '1 day'"
    )

    assert postgres_source.bridge.out_of_order(ITEMS, "v") is not None
    assert postgres_source.bridge.out_of_order(ITEMS, "at") is None
    assert postgres_source.bridge.out_of_order(ITEMS, "span") == "1 day"
