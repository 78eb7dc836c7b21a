"""An index of rows, some of which were cut: on every store."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from semilayer_pipelines.errors import ObjectsRejected
from semilayer_pipelines.stores.chunks.index import ChunkedIndex
from semilayer_pipelines.stores.chunks.objects import in_two
from semilayer_pipelines.stores.chunks.protocol import CHUNK, CHUNKS, chunks_type
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.chunks.versions import VERSION
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, SCORE, TEXT_HASH, VECTOR, Index
from semilayer_pipelines.stores.where import Condition, Operator
from tests.patience import PATIENCE_SECONDS
from tests.stores.chunks.rows import SCHEMA, body_of, hashes, near, rows
from tests.stores.objects import DIMENSION

VERSIONED = {KEY: pl.String, VERSION: pl.UInt64}
TWO = {"1": "short", "2": ("one", "two", "three")}


def written(index: ChunkedIndex, frame: pl.DataFrame) -> None:
    with index.lock():
        index.upsert(frame)


def scanned(index: Index) -> list[tuple[str, bytes, bytes]]:
    return hashes(pl.concat(list(index.scan())))


def chunks(store: ChunkedStore) -> Index:
    return store.inner.open("lens-1-g000001-chunks")


def found(index: ChunkedIndex, part: str, limit: int = 1, *where: Condition) -> pl.DataFrame:
    return index.search(near(part), limit=limit, where=where)


def test_rows_that_fit_need_no_index_of_chunks(store: ChunkedStore, index: ChunkedIndex) -> None:
    fit = rows({"1": "short", "2": "short too"})

    with index.lock():
        index.add(fit)

    assert store.inner.names() == ["lens-1-g000001"]
    assert scanned(index) == hashes(fit)
    plain = store.inner.open("lens-1-g000001")
    assert hashes(plain.fetch(["1", "2"])) == hashes(fit)
    assert index.vectors() == index.count() == 2


def test_a_row_is_one_however_many_chunks_it_has(store: ChunkedStore, index: ChunkedIndex) -> None:
    frame = rows(TWO)

    with index.lock():
        assert index.add(frame) == 2

    for same in (index, store.open("lens-1-g000001")):
        assert same.count() == 2
        assert same.vectors() == 5
        assert scanned(same) == hashes(frame)
        assert hashes(same.fetch(["1", "2", "3"], vectors=False)) == hashes(frame)
        row = same.get("2")
        assert row is not None
        assert row[TEXT_HASH] == frame[TEXT_HASH][1]
    assert store.names() == ["lens-1-g000001"]


def test_a_search_finds_a_row_by_any_of_its_chunks_and_tells_which(index: ChunkedIndex) -> None:
    written(index, rows(TWO | {"3": ("four", "five")}))

    hit = found(index, "three").row(0, named=True)

    assert hit[KEY] == "2"
    assert hit[SCORE] == pytest.approx(1, abs=1e-5)
    assert hit[CHUNK] == {
        "field": "body",
        "start": 200,
        "end": 300,
        "score": pytest.approx(1, abs=1e-5),
    }
    assert hit["body"] == body_of("one", "two", "three")
    first = found(index, "four").row(0, named=True)
    assert (first[KEY], first[CHUNK]["start"]) == ("3", 0)
    everything = found(index, "five", 10)
    assert sorted(everything[KEY]) == ["1", "2", "3"]
    told = dict(everything.select(KEY, CHUNK).iter_rows())
    assert told["1"] is None
    assert all(told[key]["end"] for key in ("2", "3"))


def test_a_row_of_many_near_chunks_leaves_room_for_others(index: ChunkedIndex) -> None:
    """Of 60 chunks that are all nearer than any other row, each would fill the answer."""
    written(index, rows({"1": ["same"] * 60, "2": ("other", "rows"), "3": "a third"}))

    assert sorted(found(index, "same", 3)[KEY]) == ["1", "2", "3"]


def test_texts_are_read_of_the_rows_that_are_shown_and_of_no_others(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    written(
        index, rows({str(n): (f"a {n}", f"b {n}", f"c {n}") for n in range(40)} | {"x": "fits"})
    )
    asked: list[object] = []
    told = ChunkedIndex(
        cast(Index, Telling(store.inner.open(index.name), asked)),
        lambda: chunks(store),
        lambda: chunks(store),
    )

    hits = told.search(near("b 7"), limit=3)

    assert hits.equals(found(index, "b 7", 3))
    assert hits.select(KEY, "body").row(0) == ("7", body_of("a 7", "b 7", "c 7"))
    assert asked == [sorted(hits[KEY])]


def test_rows_that_lack_an_element_of_a_list_are_neither_read_nor_in_the_way(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    long = [f"a tag that is one of many {number}" for number in range(20)]
    written(index, rows({str(n): (f"a {n}", "target", "target") for n in range(40)}))
    written(index, rows({"x": ("far", "near")}, section="shop"))
    of_many = pl.Series("tags", [[*long, "shop"]], dtype=pl.List(pl.String))
    written(index, rows({"y": ("farther", "nearer")}).with_columns(of_many))
    asked: list[object] = []
    told = ChunkedIndex(
        cast(Index, Telling(store.inner.open(index.name), asked)),
        lambda: chunks(store),
        lambda: chunks(store),
    )

    for value in ("shop", long[3], body_of("three", "parts", "long")):
        where = Condition("tags", Operator.EQ, value)
        hits = told.search(near("target"), limit=2, where=(where,))
        assert sorted(hits[KEY]) == {"shop": ["x", "y"], long[3]: ["y"]}.get(value, [])

    assert all("0" not in keys for keys in cast(list[list[str]], asked))


class Telling:
    """An index of rows that notes of which rows fields were asked, in searches of every one."""

    def __init__(self, inner: Index, asked: list[object]) -> None:
        self._inner, self._asked = inner, asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def search(self, *given: Any, columns: Sequence[str] | None = None, **told: Any) -> Any:
        if columns is None or "body" in columns:
            self._asked.append("every row that is near")
        return self._inner.search(*given, columns=columns, **told)

    def fetch(self, keys: Sequence[str], **told: Any) -> Any:
        self._asked.append(sorted(keys))
        return self._inner.fetch(keys, **told)


def test_a_row_is_replaced_with_its_chunks(store: ChunkedStore, index: ChunkedIndex) -> None:
    written(index, rows(TWO))

    changed = rows(TWO | {"2": ("zero", "one", "two", "four")})
    written(index, changed)

    assert scanned(index) == hashes(changed)
    assert chunks(store).count() == 4
    assert found(index, "four")[CHUNK][0]["start"] == 300
    assert found(index, "three")[SCORE][0] < 0.99


def test_a_row_that_is_written_again_as_it_is_stays_whole(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    for _ in range(3):
        written(index, rows(TWO))

        assert scanned(index) == hashes(rows(TWO))
        assert chunks(store).count() == 3


def test_a_row_may_come_to_fit_and_be_cut_again(store: ChunkedStore, index: ChunkedIndex) -> None:
    written(index, rows(TWO))

    fits = rows({"1": ("one", "two"), "2": "short now"})
    written(index, fits)

    assert scanned(index) == hashes(fits)
    assert chunks(store).count() == 2
    assert found(index, "two")[KEY][0] == "1"


def test_a_deleted_row_takes_its_chunks_along(store: ChunkedStore, index: ChunkedIndex) -> None:
    written(index, rows(TWO))

    with index.lock():
        assert index.delete(["2", "3"]) == 1

    assert chunks(store).count() == 0
    assert found(index, "two", 5)[KEY].to_list() == ["1"]


def test_a_lost_a_doubled_and_a_foreign_chunk_make_a_row_look_changed(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    frame = rows({"1": ("a", "b", "c"), "2": ("d", "e"), "3": ("f", "g"), "4": ("h", "i")})
    written(index, frame)
    raw = chunks(store)
    keys = pl.concat(list(raw.scan()))[KEY].to_list()
    one = {key[0] + key.rpartition(":")[2]: key for key in keys}

    with raw.lock():
        raw.delete([one["11"]])  # lost
        raw.upsert(foreign(one["12"]))
        raw.add(foreign(one["03"].replace("0:", "2:", 1)))  # one too many

    same = {key for key, *_ in {*hashes(frame)} & {*scanned(index)}}
    assert same == {"4"}
    fetched = {*hashes(index.fetch(["1", "2", "3", "4"], vectors=False))}
    assert {key for key, *_ in {*hashes(frame)} & fetched} == {"4"}
    # Written again, all is as it was, and what was too many is removed.
    written(index, frame)
    assert scanned(index) == hashes(frame)
    with index.lock():
        assert index.remove_leftovers() == 1
    assert chunks(store).count() == 9


def foreign(key: str) -> pl.DataFrame:
    """Return the object of a chunk of another row, under this key."""
    cut = in_two(rows({"x": ("y", "z")}), pl.DataFrame(schema=VERSIONED), SCHEMA)[1]
    return cut.head(1).with_columns(pl.lit(key).alias(KEY))


def test_of_the_rows_only_those_of_leftovers_are_looked_up_under_the_lock(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    written(index, rows({str(n): (f"a {n}", f"b {n}") for n in range(40)}))
    raw = chunks(store)
    keys = pl.concat(list(raw.scan()))[KEY]
    gone = keys.filter(keys.str.ends_with(":7")).str.replace(":7$", ":of no row")
    with raw.lock():
        raw.add(pl.concat([foreign(key) for key in gone]))
    asked: list[object] = []
    told = ChunkedIndex(
        cast(Index, Telling(store.inner.open(index.name), asked)),
        lambda: chunks(store),
        lambda: chunks(store),
    )

    assert len(pl.concat(list(told.scan()))) == 40
    with told.lock():
        assert told.remove_leftovers() == len(gone) > 0

    assert asked == [["of no row"]]
    assert told.vectors() == 40 + 80


def test_texts_that_were_embedded_are_told_with_their_vectors(index: ChunkedIndex) -> None:
    frame = rows(TWO)
    written(index, frame)

    held = index.held(["1", "2"])

    of_chunks = frame[CHUNKS][1].struct.field(TEXT_HASH).to_list()
    assert {frame[TEXT_HASH][0], *of_chunks} <= {*held[TEXT_HASH]}
    assert frame[TEXT_HASH][1] not in {*held[TEXT_HASH]}, "it was never embedded as a whole"
    vectors = dict(held.select(TEXT_HASH, VECTOR).iter_rows())
    assert np.allclose(vectors[of_chunks[2]], near("three"), atol=1e-6)


def test_conditions_hold_of_rows_that_were_cut(index: ChunkedIndex) -> None:
    written(index, rows({"1": ("one", "two"), "2": "short"}, section="web"))
    written(index, rows({"3": ("three", "two")}, section="shop"))
    body = body_of("three", "two")

    def asked(field: str, operator: Operator, value: object) -> list[str]:
        where = Condition(field, operator, value)  # type: ignore[arg-type]
        return sorted(found(index, "two", 5, where)[KEY])

    assert asked("section", Operator.EQ, "shop") == ["3"]
    assert asked("section", Operator.NE, "shop") == ["1", "2"]
    assert asked("body", Operator.EQ, body) == ["3"]
    assert asked("body", Operator.NE, body) == ["1", "2"]
    assert asked("body", Operator.IN, ("short", body)) == ["2", "3"]
    assert asked("body", Operator.GT, body_of("two")[:5]) == []
    assert asked("body", Operator.LT, "p") == ["1"]
    assert asked("body", Operator.EMPTY, True) == []
    assert asked("body", Operator.EMPTY, False) == ["1", "2", "3"]
    assert asked("tags", Operator.EQ, "web") == ["1", "2"]
    assert asked("tags", Operator.NIN, ("web", "none")) == ["3"]
    assert asked("size", Operator.GT, 5) == ["1", "3"]


def test_chunks_of_rows_that_fail_a_condition_on_their_text_hide_no_others(
    index: ChunkedIndex,
) -> None:
    failing = {str(n): ("a first", "target", "target") for n in range(1, 8)}
    written(index, rows(failing | {"8": ("z first", "target"), "9": ("z near", "z other")}))

    [hit] = found(index, "target", 1, Condition("body", Operator.GT, "y")).iter_rows(named=True)

    assert (hit[KEY], hit[CHUNK]["start"]) == ("8", 100)
    assert hit[SCORE] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "where",
    [
        Condition("body", Operator.NE, ""),
        Condition("body", Operator.NIN, ("", "other")),
        Condition("body", Operator.NIN, ()),
        Condition("body", Operator.EMPTY, False),
        Condition("tags", Operator.NIN, ("", "other")),
    ],
    ids=str,
)
def test_a_chunk_is_found_where_a_text_must_not_be_empty(
    index: ChunkedIndex, where: Condition
) -> None:
    long = pl.Series("tags", [["a tag that is one of many"] * 20], dtype=pl.List(pl.String))
    written(index, rows({"1": ("first", "target", "last")}).with_columns(long))

    [hit] = found(index, "target", 1, where).iter_rows(named=True)

    assert hit[CHUNK]["start"] == 100
    assert hit[SCORE] == pytest.approx(1, abs=1e-5)


def test_a_writer_learns_under_the_lock_that_another_cut_the_first_row(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    written(index, rows({"1": "short"}))
    written(store.open(index.name), rows({"2": ("one", "two")}))

    with index.lock():
        index.delete(["2"])

    assert chunks(store).count() == 0


def test_reading_after_a_write_takes_no_lock(store: ChunkedStore, index: ChunkedIndex) -> None:
    written(index, rows({"1": "short"}))
    other = store.open(index.name)
    written(other, rows({"2": ("one", "two")}))

    assert {key for key, _, _ in scanned(index)} == {"1", "2"}

    with ThreadPoolExecutor(1) as beside:
        beside.submit(written, other, rows({"2": ("three", "four")})).result(
            timeout=PATIENCE_SECONDS
        )
    written(index, rows({"2": "short"}))
    assert chunks(store).count() == 0


@pytest.mark.parametrize("place", ["weaviate"], indirect=True)
@pytest.mark.parametrize("at", [0, 2])
def test_a_rejected_chunk_sets_its_row_aside_and_nothing_of_it_stays(
    store: ChunkedStore, index: ChunkedIndex, at: int
) -> None:
    before = rows(TWO)
    written(index, before)
    poison = with_zero_vector(rows({"2": ("four", "five", "six")}), at)

    with index.lock(), pytest.raises(ObjectsRejected) as rejected:
        index.upsert(pl.concat([rows({"1": "another"}), poison, rows({"3": ("seven", "eight")})]))

    assert rejected.value.written == 2
    assert rejected.value.reasons == {"2": "its vector is zero"}
    assert found(index, "two")[KEY][0] == "2"
    assert found(index, "eight")[KEY][0] == "3"
    now = rows({"1": "another", "2": TWO["2"], "3": ("seven", "eight")})
    assert scanned(index) == hashes(now)
    assert chunks(store).count() == 5


def with_zero_vector(frame: pl.DataFrame, at: int) -> pl.DataFrame:
    """Give a chunk of the only row a vector that Weaviate takes for none."""
    parts = frame[CHUNKS][0].to_list()
    parts[at][VECTOR] = [0.0] * DIMENSION
    return frame.with_columns(pl.Series(CHUNKS, [parts], dtype=chunks_type(DIMENSION)))


def test_an_index_is_dropped_with_its_chunks(store: ChunkedStore, index: ChunkedIndex) -> None:
    written(index, rows(TWO))

    store.drop("lens-1-g000001")

    assert store.inner.names() == store.names() == []


def test_chunks_whose_rows_are_gone_have_a_name_to_be_dropped_by(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    written(index, rows(TWO))
    store.inner.drop("lens-1-g000001")

    assert store.names() == ["lens-1-g000001"]
    store.drop("lens-1-g000001")
    assert store.inner.names() == []


def test_a_new_index_of_an_old_name_takes_no_chunks_of_another_kind(
    store: ChunkedStore, index: ChunkedIndex
) -> None:
    written(index, rows(TWO))
    store.inner.drop("lens-1-g000001")
    other = replace(SCHEMA, fields=SCHEMA.fields[:4])
    again = store.create("lens-1-g000001", other)

    written(again, rows(TWO).drop("size"))

    assert scanned(again) == hashes(rows(TWO))


def test_a_text_that_many_rows_share_hides_none_of_them(index: ChunkedIndex) -> None:
    """A search for a chunk's own vector shows ten of those that have it, and not all 40.

    More than a graph gives links to, 64, would be beside the point: they cost others theirs.
    """
    shared = {str(n): (f"first {n}", "of everybody") for n in range(40)}
    written(index, rows(shared))

    assert index.hidden([*shared]) == []


def test_hidden_and_written_again_are_told_of_rows(index: ChunkedIndex) -> None:
    written(index, rows(TWO))

    assert index.hidden(["1", "2"]) == []
    assert {*index.last_written(None)} <= {"1", "2"}
    with index.lock():
        assert index.rewrite(["1", "2", "3"]) == 2
    assert scanned(index) == hashes(rows(TWO))
    assert found(index, "two")[KEY][0] == "2"
    index.settle()
    index.maintain(force=True)
    assert scanned(index) == hashes(rows(TWO))


def test_a_shard_is_scanned_alone(index: ChunkedIndex) -> None:
    written(index, rows(TWO))
    written(index, rows({"3": ("four", "five")}, shard=1))

    frames = list(index.scan(shard=1))

    assert hashes(pl.concat(frames)) == hashes(rows({"3": ("four", "five")}))
    assert pl.concat(frames)[ROW_HASH].len() == 1
