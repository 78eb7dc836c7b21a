"""Hashes stay the same for years, and differ whenever the rows do."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.hashes import digests, fingerprint, row_bytes, seed
from tests.mapping.making import everything, lens, table

MOMENT = pl.Datetime("us", "UTC")
SCHEMA = {
    "a": pl.String(),
    "b": pl.String(),
    "i": pl.Int64(),
    "f": pl.Float64(),
    "t": pl.Boolean(),
    "d": MOMENT,
    "l": pl.List(pl.String()),
    "n": pl.List(pl.Float64()),
}
# Characters that the encoding itself uses, so that the search for a collision is not a lottery.
TRICKY = st.text(alphabet="|~:0123f;\n\0aé", max_size=5)
ROW = st.tuples(
    st.none() | TRICKY,
    st.none() | TRICKY,
    st.none() | st.integers(-3, 12),
    st.none() | st.sampled_from([0.0, 1.0, 12.0, 5e-324, -1.5]),
    st.none() | st.booleans(),
    st.none() | st.sampled_from([dt.datetime(1970, 1, 1, 0, 0, 0, n, dt.UTC) for n in range(3)]),
    st.none() | st.lists(TRICKY, max_size=3),
    st.none() | st.lists(st.sampled_from([0.0, 1.0]), max_size=3),
)


def encoded(rows: list[tuple[Any, ...]]) -> list[str]:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return frame.select(row_bytes(list(SCHEMA.items()))).to_series().to_list()


@settings(deadline=None, max_examples=300)
@given(ROW, ROW)
def test_rows_have_equal_bytes_exactly_when_they_are_equal(
    one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    first, second = encoded([one, other])

    assert (first == second) == (one == other)
    assert encoded([one]) == [first]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a|1|b", ""), ("a", "b")),
        (("", "ab"), ("ab", "")),
        ((None, "~"), ("~", None)),
        ((None, ""), ("", None)),
        (("", None), (None, None)),
        (("1|a", "b"), ("1", "a|b")),
    ],
)
def test_nulls_empty_texts_and_separators_in_texts_are_told_apart(one: Any, other: Any) -> None:
    rest = (None,) * (len(SCHEMA) - 2)

    first, second = encoded([(*one, *rest), (*other, *rest)])

    assert first != second


def test_the_encoding_of_a_row_is_what_it_was() -> None:
    row: tuple[object, ...] = (
        "héé",
        None,
        -7,
        1.5,
        True,
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        ["x", ""],
        [],
    )

    assert encoded([row]) == ["5|héé|~||-7|4609434218613702656f|true|1704067200000000|2|1|x|0||0|"]


def test_digests_are_xxh3_128_whatever_the_length_of_the_page() -> None:
    texts = pl.Series([f"text {n}" for n in range(2500)])

    whole = digests(texts, 7)
    parts = [digests(texts.slice(start, 700), 7) for start in range(0, 2500, 700)]

    assert whole.to_list() == pl.concat(parts).to_list()
    assert whole[0].hex() == "ca5c3be0640eef61dcb1a1f9cb54d7f9"
    assert digests(texts.clear(), 7).dtype == pl.Binary


def test_a_seed_and_a_fingerprint_are_what_they_were() -> None:
    assert fingerprint({"b": [1, None], "a": "é"}) == fingerprint({"a": "é", "b": [1, None]})
    assert fingerprint({"b": [1, None], "a": "é"}) == "d5a3327b5daad95d7dcf69ce22f8a197"
    assert seed("sentence-transformers/all-MiniLM-L6-v2") == 5189408048411909861


PINNED = """
import datetime as dt, polars as pl
from tests.mapping.making import everything
from tests.mapping.test_hashes import pinned_mapping, PINNED_ROWS
frame = everything(pinned_mapping().apply(PINNED_ROWS))
for row in frame.select("_row_hash", "_text_hash").iter_rows():
    print(row[0].hex(), row[1].hex())
"""
PINNED_ROWS = pl.DataFrame(
    {
        "id": [1, 2],
        "title": ["Zürich\nby night", None],
        "price": [19.99, None],
        "stock": [3, None],
        "live": [True, None],
        "seen": [dt.datetime(2024, 5, 1, 10, 20, 30, 5), None],
        "tags": [["a", "b,c"], None],
    },
    schema_overrides={"tags": pl.List(pl.String)},
)
EXPECTED = [
    ("3f2e902736ba6911ffb711c7d95bab6f", "31fa03e7dab5c050e5000d66d16b002f"),
    ("c2889c7e070111113353fc5d9a47978d", "459f55f3c2f55b6413d51ee713591503"),
]


def pinned_mapping() -> Any:
    config = lens(
        title={"type": "text", "searchable": {"weight": 2}, "transform": "trim"},
        price={"type": "number"},
        stock={"type": "number", "searchable": True},
        live={"type": "boolean"},
        seen={"type": "date"},
        tags={"type": "text", "array": True, "searchable": True},
    )
    columns = table(
        id="integer",
        title="text",
        price="number",
        stock="integer",
        live="boolean",
        seen="datetime",
        tags="other",
    )
    return compile_mapping(config, columns, key=("id",), model_fingerprint="m1")


def test_row_and_text_hashes_are_what_they_were() -> None:
    frame = everything(pinned_mapping().apply(PINNED_ROWS))

    found = [(r.hex(), t.hex()) for r, t in frame.select("_row_hash", "_text_hash").iter_rows()]

    assert found == EXPECTED


def test_another_process_with_other_hash_seeds_finds_the_same_hashes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PINNED],
        env={"PYTHONHASHSEED": "7", "POLARS_MAX_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert [tuple(line.split()) for line in done.stdout.splitlines()] == EXPECTED
