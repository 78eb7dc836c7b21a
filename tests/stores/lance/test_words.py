"""The full-text index of a Lance table: kept up with writes, done without where it is broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from polars.testing import assert_frame_equal

from semilayer_pipelines.stores.lance.index import LanceIndex
from semilayer_pipelines.stores.lance.store import LanceStore
from semilayer_pipelines.stores.lance.upkeep import (
    Bounds,
    broken_indexes,
    build_indexes,
    lacks_index,
)
from semilayer_pipelines.stores.lance.words import by_words_unindexed
from semilayer_pipelines.stores.protocol import KEY, SCORE, WORDS
from semilayer_pipelines.stores.where import parse_where
from tests.damage import BROKEN_INDEXES, Harm
from tests.stores.objects import ONE_FIELD_AND_WORDS, names, worded

BOUNDS = Bounds(key_index_rows=300, words_unindexed_rows=100)
ASKED = ["w1", "w7", "w40"]


def texts(count: int, start: int = 0) -> dict[str, str | None]:
    """Return the words of some rows: some words are in many of them, some in few."""
    rng = np.random.default_rng(start)
    lengths = rng.integers(1, 60, count)
    return {
        key: " ".join(f"w{number}" for number in rng.zipf(1.4, length) if number < 10_000)
        for key, length in zip(names(count, start), lengths, strict=True)
    }


@pytest.fixture
def index(tmp_path: Path) -> LanceIndex:
    """Return an index of 600 rows that all its indexes cover, and 50 that came after them."""
    made = LanceStore(tmp_path, "development").create("lens-g1", ONE_FIELD_AND_WORDS)
    with made.lock():
        made.add(worded(texts(600)))
        build_indexes(made._table, BOUNDS)
        made.add(worded(texts(50, 600), title="late"))
    return made


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "development" / "lens-g1.lance"


def covered(index: LanceIndex) -> tuple[int, int]:
    """Return how many rows the index of the words covers, and how many it does not."""
    (found,) = [each for each in index._table.list_indices() if each.columns == [WORDS]]
    return found.num_indexed_rows, found.num_unindexed_rows


def test_rows_are_indexed_again_when_many_are_not_and_are_found_all_the_while(
    index: LanceIndex,
) -> None:
    assert covered(index) == (600, 50)
    assert not lacks_index(index._table, BOUNDS)
    late = parse_where({"title": "late"}, ["title"])
    before = index.search_words(ASKED, limit=100, where=late)

    with index.lock():
        index.upsert(worded(texts(50, 700)))
    assert lacks_index(index._table, BOUNDS)
    with index.lock():
        build_indexes(index._table, BOUNDS)

    assert covered(index) == (700, 0)
    assert not lacks_index(index._table, BOUNDS)
    after = index.search_words(ASKED, limit=100, where=late)
    assert sorted(after[KEY]) == sorted(before[KEY])
    assert before.height > 10


def test_upkeep_covers_what_a_full_ingest_wrote(tmp_path: Path) -> None:
    index = LanceStore(tmp_path, "development").create("full-g1", ONE_FIELD_AND_WORDS)
    with index.lock():
        for start in range(0, 4_000, 1_000):
            index.add(worded(texts(1_000, start)))

    index.maintain()

    assert covered(index) == (4_000, 0)
    with index.lock():
        index.upsert(worded(texts(200)))
    version = index._table.version
    index.maintain()
    assert index._table.version == version, "so few are looked at one by one"


@pytest.mark.parametrize("harm", BROKEN_INDEXES.values(), ids=BROKEN_INDEXES.keys())
def test_the_same_rows_are_found_though_the_index_is_broken(
    index: LanceIndex, table: Path, harm: Harm
) -> None:
    late = parse_where({"title": "late"}, ["title"])
    expected = index.search_words(ASKED, limit=700)
    of_late = index.search_words(ASKED, limit=5, where=late)
    harm(table)

    again = LanceStore(table.parents[1], "development").open("lens-g1")

    found = again.search_words(ASKED, limit=700)
    assert sorted(found[KEY]) == sorted(expected[KEY])
    assert set(found[KEY][:20]) & set(expected[KEY][:20])
    late_again = again.search_words(ASKED, limit=5, where=late)
    assert late_again["title"].to_list() == of_late["title"].to_list() == ["late"] * 5
    assert again.search_words(["absent"], limit=5).is_empty()


@pytest.mark.parametrize("harm", BROKEN_INDEXES.values(), ids=BROKEN_INDEXES.keys())
def test_a_write_or_upkeep_makes_a_broken_index_again(
    index: LanceIndex, table: Path, harm: Harm
) -> None:
    harm(table)
    again = LanceStore(table.parents[1], "development").open("lens-g1")
    assert len(broken_indexes(again._table)) == 2

    with again.lock():
        again.upsert(worded({"new": "=new w1"}))
    again.maintain()

    assert broken_indexes(again._table) == []
    assert sum(covered(again)) == 651
    assert again.search_words(["=new"], limit=5)[KEY].to_list() == ["new"]


@pytest.mark.parametrize("at", range(5))
def test_any_file_of_the_index_may_be_gone(index: LanceIndex, table: Path, at: int) -> None:
    files = sorted(path for path in table.glob("_indices/*/*") if "page" not in path.name)
    if at >= len(files):
        pytest.skip(f"there are {len(files)} files")
    expected = index.search_words(ASKED, limit=700)
    files[at].unlink()

    again = LanceStore(table.parents[1], "development").open("lens-g1")
    found = again.search_words(ASKED, limit=700)
    again.maintain()

    assert sorted(found[KEY]) == sorted(expected[KEY])
    assert sorted(again.search_words(ASKED, limit=700)[KEY]) == sorted(expected[KEY])


def test_rows_without_an_index_are_ranked_by_the_same_formula(tmp_path: Path) -> None:
    index = LanceStore(tmp_path, "development").create("lens-g1", ONE_FIELD_AND_WORDS)
    rows = worded(texts(600))
    with index.lock():
        index.add(rows)
        build_indexes(index._table, BOUNDS)

    ranked = index.search_words(ASKED, limit=700).select(KEY, SCORE)
    flat = by_words_unindexed([rows[:400], rows[400:]], ASKED, limit=700)

    both = ranked.join(flat, on=KEY, suffix=" flat")
    assert both.height == ranked.height == flat.height > 100
    apart = (both[SCORE] / both[f"{SCORE} flat"] - 1).abs().max()
    assert isinstance(apart, float)
    assert apart < 0.02
    assert_frame_equal(flat, flat.sort(SCORE, KEY, descending=[True, False]))
