from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from semilayer_pipelines.ingest.decision import Indexed
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

keys = st.dictionaries(st.text(max_size=20), st.binary(min_size=16, max_size=16), max_size=60)


def frame(rows: dict[str, bytes]) -> pl.DataFrame:
    return pl.DataFrame(
        {KEY: list(rows), ROW_HASH: list(rows.values()), TEXT_HASH: list(rows.values())},
        schema={KEY: pl.String, ROW_HASH: pl.Binary, TEXT_HASH: pl.Binary},
    )


@given(indexed=keys, source=keys, page=st.integers(1, 7))
def test_the_diff_is_the_one_that_dictionaries_give(
    indexed: dict[str, bytes], source: dict[str, bytes], page: int
) -> None:
    # given a source that shares some rows with the index and has some changed
    source = source | dict(list(indexed.items())[::2])
    known = KnownRows(frame(indexed).iter_slices(3))

    # when the source passes by in pages
    new, changed, same = set(), set(), set()
    for part in frame(source).iter_slices(page):
        for key, state in zip(part[KEY], known.compare(part), strict=True):
            {Indexed.SAME: same, Indexed.OTHER: changed, Indexed.NOTHING: new}[state].add(key)
    unseen = {key for part in known.unseen(frame(indexed).iter_slices(4)) for key in part}

    # then every row is what a comparison of two dictionaries says
    assert new == source.keys() - indexed.keys()
    assert same == {key for key in source.keys() & indexed.keys() if source[key] == indexed[key]}
    assert changed == (source.keys() & indexed.keys()) - same
    assert unseen == indexed.keys() - source.keys()


def test_a_row_that_could_not_be_mapped_is_still_seen() -> None:
    known = KnownRows([frame({"a": b"1" * 16, "b": b"2" * 16})])

    known.mark_seen(pl.Series(KEY, ["a"]))

    assert [list(part) for part in known.unseen([frame({"a": b"", "b": b""})])] == [["b"]]


def test_what_came_into_the_index_after_the_scan_is_no_tombstone() -> None:
    known = KnownRows([frame({"a": b"1" * 16})])

    later = frame({"a": b"1" * 16, "written meanwhile": b"3" * 16})

    assert [list(part) for part in known.unseen([later])] == [["a"]]


def test_a_vector_of_another_model_is_not_the_same_row() -> None:
    indexed = frame({"a": b"1" * 16, "b": b"2" * 16})
    another_model = indexed.with_columns(pl.Series(TEXT_HASH, [b"3" * 16, b"2" * 16]))

    states = KnownRows([indexed]).compare(another_model)

    assert states.to_list() == [Indexed.OTHER, Indexed.SAME]


def test_a_row_of_which_the_index_has_two_objects_is_told_apart() -> None:
    twice = frame({"a": b"1" * 16, "b": b"2" * 16})

    states = KnownRows([twice, twice.head(1)]).compare(twice)

    assert states.to_list() == [Indexed.TWICE, Indexed.SAME]
