"""The database's own hashes of keys: by them, buckets tell which rows went away."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from semilayer_pipelines.bridges.protocol import (
    KEY_HASH,
    SHARD_COLUMN,
    KeySums,
    Selection,
    Window,
)
from tests.bridges.conftest import SHAPES
from tests.sources import SourceDatabase, key_texts


def test_only_a_source_that_tells_which_rows_were_written_hashes_keys(
    source: SourceDatabase, keyed: tuple[Selection, list[str]]
) -> None:
    selection, texts = keyed
    written = source.bridge.written(selection)
    hashed = replace(selection, hashed=True)

    assert written is not None
    given = source.kind == "postgres"
    assert (written.since is not None) == given
    for frame in (
        source.bridge.read_page(hashed, Window(), 3).frame,
        source.bridge.read_rows(hashed, texts[:3]).frame,
    ):
        assert (KEY_HASH in frame.columns) == given
    assert KEY_HASH not in source.bridge.read_page(selection, Window(), 3).frame.columns


_RARER = {
    "bytea": [r"\x00ff", r"\x01", r"\x"],
    "timestamptz": ["2024-05-01 10:00:00.000001+00", "infinity"],
    "numeric": ["1.10", "-12345678901234567890.5", "NaN"],
    "real": ["0.1", "-0.3"],
    "char(8)": ["AB12", "AB1", "ab12"],
    "boolean": ["t", "f"],
    "inet": ["10.0.0.1", "::1"],
}


@pytest.fixture(params=["integer", "text", "uuid", "composite", "three parts", *_RARER])
def hashed(
    postgres_source: SourceDatabase, request: pytest.FixtureRequest
) -> tuple[SourceDatabase, Selection]:
    """A PostgreSQL table with keys of one shape."""
    columns: tuple[tuple[str, str], ...]
    if request.param in _RARER:
        columns, keys = (("id", request.param),), [(text,) for text in _RARER[request.param]]
    else:
        shape, keys = SHAPES[request.param]
        columns = tuple((name, postgres_source.type(kind)) for name, kind in shape)
    names = tuple(name for name, _ in columns)
    declared = ", ".join(f"{name} {kind}" for name, kind in columns)
    postgres_source.run(f"CREATE TABLE items ({declared}, PRIMARY KEY ({', '.join(names)}))")
    postgres_source.insert("items", keys)
    return postgres_source, Selection("items", names, names, hashed=True)


def test_buckets_add_up_the_hashes_that_rows_carry_for_keys_of_every_type(
    hashed: tuple[SourceDatabase, Selection],
) -> None:
    source, selection = hashed
    frame, _ = source.walk(selection, 2)
    rows = frame.with_columns(
        bucket=pl.col(KEY_HASH) % 4, key=pl.Series(key_texts(frame, selection))
    )
    ours = (
        rows.group_by("bucket")
        .agg(
            pl.len().cast(pl.Int64).alias("rows"),
            pl.col(KEY_HASH).sum().cast(pl.String).alias("sum"),
        )
        .sort("bucket")
    )

    now = source.bridge.written(selection)
    assert now is not None
    assert now.since is not None
    theirs = source.bridge.buckets(selection, 4)
    assert theirs.equals(ours)
    total = sum(rows[KEY_HASH].to_list())
    sums = source.bridge.key_sums(selection, now.since)
    # A transaction of somebody else may be open since before these rows were written.
    assert sums == KeySums(rows.height, total, sums.written)
    assert rows[KEY_HASH].n_unique() == rows.height
    assert 0 <= rows[KEY_HASH].min() <= rows[KEY_HASH].max() < 2**40  # type: ignore[operator]
    for bucket in range(4):
        found = [key for keys in source.bridge.read_keys(selection, 4, [bucket]) for key in keys]
        assert sorted(found) == sorted(rows.filter(pl.col("bucket") == bucket)["key"])
    assert list(source.bridge.read_keys(selection, 4, [])) == []


def test_a_row_has_one_hash_however_it_is_read(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, at INTEGER)",
        "INSERT INTO items SELECT n, n FROM generate_series(1, 9) n",
    )
    selection = Selection("items", ("id",), ("id",), hashed=True)
    selection = replace(selection, bounds=postgres_source.bridge.bounds(selection, 2))
    kept = postgres_source.bridge.written(selection)
    assert kept is not None
    assert kept.since is not None
    postgres_source.run("UPDATE items SET at = at + 1")

    walked, _ = postgres_source.walk(selection, 4)
    for other in (
        postgres_source.bridge.read_rows(selection, [str(n) for n in range(1, 10)]).frame,
        postgres_source.bridge.read_changed(selection, "at", None, 9).frame,
        postgres_source.bridge.read_written(selection, kept.since, Window(), 9).frame,
    ):
        assert SHARD_COLUMN in other.columns
        assert other.sort("id").select("id", KEY_HASH).equals(walked.select("id", KEY_HASH))
