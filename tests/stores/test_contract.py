"""What every store must do with rows; see also `test_contract_search` and `_writers`."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import polars as pl
import pytest

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import DimensionChanged, NotFound
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    Index,
    IndexField,
    IndexSchema,
    Store,
)
from tests.patience import PATIENCE_SECONDS
from tests.stores.conftest import Place
from tests.stores.objects import AT, DIMENSION, ONE_FIELD, hash_of, names, objects

ODD_KEYS = [
    "it's",
    "''",
    '"quoted"',
    "`back`",
    "back\\slash",
    "100%_",
    "new\nline",
    " spaces ",
    "",
    "naïve-日本-🙂",
    "e\u0301",
    "\u00e9",
    "x" * 512,
    r'["7","it\'s \"en\"","日本"]',
    "') OR 1=1 --",
    "NULL",
]


def _keys(index: Index, shard: int | None = None) -> list[str]:
    return sorted(key for frame in index.scan(shard=shard) for key in frame[KEY].to_list())


def _write(index: Index, frame: pl.DataFrame) -> int:
    with index.lock():
        return index.upsert(frame)


def test_every_field_type_comes_back_as_it_went_in_nulls_included(store: Store) -> None:
    scalars: dict[FieldType, tuple[object, pl.DataType]] = {
        FieldType.TEXT: ("text it's 日本", pl.String()),
        FieldType.ENUM: ("red", pl.String()),
        FieldType.JSON: ('{"a":[1,null]}', pl.String()),
        FieldType.NUMBER: (0.1 + 0.2, pl.Float64()),
        FieldType.BOOLEAN: (True, pl.Boolean()),
        FieldType.DATE: (datetime(1969, 7, 20, 20, 17, 40, 1, UTC), pl.Datetime("us", "UTC")),
    }
    fields = [IndexField(type_.value, type_) for type_ in scalars]
    fields += [IndexField(f"{type_}List", type_, array=True) for type_ in scalars]
    fields += [IndexField("bigCount", FieldType.NUMBER, integer=True)]
    fields += [IndexField("bigCounts", FieldType.NUMBER, array=True, integer=True)]
    values: dict[str, tuple[object, pl.DataType]] = {}
    for type_, (value, dtype) in scalars.items():
        values[type_.value] = (value, dtype)
        values[f"{type_}List"] = ([value], pl.List(dtype))
    values["bigCount"] = (2**63 - 1, pl.Int64())
    values["bigCounts"] = ([2**53 + 1, -(2**63)], pl.List(pl.Int64))
    index = store.create("types", IndexSchema(tuple(fields), DIMENSION))
    own = objects(["full", "empty"], shard=None).drop("title")
    frame = own.with_columns(
        pl.Series(name, [value, None], dtype=dtype) for name, (value, dtype) in values.items()
    )

    assert _write(index, frame) == 2

    full, empty = index.get("full"), index.get("empty")
    assert full is not None
    assert empty is not None
    assert {name: full[name] for name in values} == {n: value for n, (value, _) in values.items()}
    assert {empty[name] for name in values} == {None}
    assert full[SHARD] is None
    assert full[ROW_HASH] == hash_of("fulla title")
    assert full[TEXT_HASH] == hash_of("a title")
    assert full[INDEXED_AT] == AT
    assert full[VECTOR] == own[VECTOR][0].to_list()


def test_an_empty_list_is_kept_apart_from_nothing_or_read_as_nothing(store: Store) -> None:
    schema = IndexSchema((IndexField("tags", FieldType.TEXT, array=True),), DIMENSION)
    index = store.create("lists", schema)
    frame = objects(["none"]).drop("title")

    _write(index, frame.with_columns(pl.Series("tags", [[]], dtype=pl.List(pl.String()))))

    none = index.get("none")
    assert none is not None
    assert none["tags"] in ([], None)


def test_upsert_inserts_replaces_and_leaves_the_others_alone(index: Index) -> None:
    _write(index, objects(["a", "b"], title="old"))

    written = _write(index, objects(["b", "c"], title="new"))

    found = index.fetch(["a", "b", "c"])
    assert written == 2
    assert index.count() == 3
    assert dict(zip(found[KEY], found[TEXT_HASH], strict=True)) == {
        "a": hash_of("old"),
        "b": hash_of("new"),
        "c": hash_of("new"),
    }


def test_a_key_twice_in_one_frame_is_refused_and_nothing_is_written(index: Index) -> None:
    with index.lock():
        with pytest.raises(ValueError, match="distinct"):
            index.upsert(objects(["a", "b", "a"]))
        with pytest.raises(ValueError, match="distinct"):
            index.add(objects(["c", "c"]))
    assert index.count() == 0


def test_a_frame_that_does_not_fit_is_refused_with_the_columns_named(index: Index) -> None:
    with index.lock():
        with pytest.raises(ValueError, match="title"):
            index.upsert(objects(["a"]).drop("title"))
        with pytest.raises(ValueError, match="extra"):
            index.upsert(objects(["a"]).with_columns(extra=1))
        with pytest.raises(ValueError, match=KEY):
            index.upsert(objects(["a"]).with_columns(pl.lit(None, pl.String()).alias(KEY)))
    assert index.count() == 0


def test_empty_frames_and_empty_key_lists_do_nothing(index: Index) -> None:
    with index.lock():
        assert index.add(objects([])) == 0
        assert index.upsert(objects([])) == 0
        assert index.delete([]) == 0
    assert list(index.scan()) == []
    assert index.fetch([]).columns == [KEY, ROW_HASH, TEXT_HASH, VECTOR]
    assert index.fetch(["a"], vectors=False).columns == [KEY, ROW_HASH, TEXT_HASH]


def test_delete_counts_what_there_was_and_may_be_repeated(index: Index) -> None:
    _write(index, objects(names(10)))
    with index.lock():
        assert index.delete([*names(4), "absent", names(1)[0]]) == 4
        assert index.delete(names(4)) == 0
    assert _keys(index) == names(6, start=4)


def test_add_appends_and_a_later_upsert_replaces(index: Index) -> None:
    with index.lock():
        assert index.add(objects(names(100))) == 100
        assert index.upsert(objects(names(50), title="new")) == 50
    assert index.count() == 100


@pytest.mark.parametrize("write", ["add", "upsert", "delete"])
def test_writing_outside_the_lock_is_a_programming_error(index: Index, write: str) -> None:
    with pytest.raises(RuntimeError, match="lock"):
        getattr(index, write)(objects(["a"]) if write != "delete" else ["a"])


def test_a_scan_of_one_shard_gives_that_shard(index: Index) -> None:
    _write(index, objects(["a", "b"], shard=0))
    _write(index, objects(["c"], shard=1))
    _write(index, objects(["d"], shard=None))
    assert _keys(index, shard=0) == ["a", "b"]
    assert _keys(index, shard=1) == ["c"]
    assert _keys(index, shard=2) == []
    assert _keys(index) == ["a", "b", "c", "d"]


def test_a_scan_gives_both_hashes_in_the_promised_types(index: Index) -> None:
    _write(index, objects(["a"]))
    (frame,) = index.scan()
    assert frame.schema == {KEY: pl.String, ROW_HASH: pl.Binary, TEXT_HASH: pl.Binary}
    assert frame.equals(objects(["a"]).select(KEY, ROW_HASH, TEXT_HASH))


def test_fetch_gives_what_exists_once_with_or_without_vectors(index: Index) -> None:
    written = objects(["a", "b", "c"])
    _write(index, written)

    found = index.fetch(["c", "a", "absent", "a"]).sort(KEY)

    assert found.schema[VECTOR] == pl.Array(pl.Float32, DIMENSION)
    expected = written.filter(pl.col(KEY).is_in(["a", "c"]))
    assert found.equals(expected.select(KEY, ROW_HASH, TEXT_HASH, VECTOR))
    assert index.fetch(["b"], vectors=False).columns == [KEY, ROW_HASH, TEXT_HASH]


@pytest.mark.parametrize("asked", [900, 5_000])
def test_fetch_of_many_keys_is_complete_however_it_is_done(index: Index, asked: int) -> None:
    with index.lock():
        index.add(objects(names(6_000)))
    keys = names(asked, start=500)
    assert sorted(index.fetch(keys, vectors=False)[KEY]) == keys
    assert index.fetch(keys).height == asked


def test_odd_keys_are_written_found_and_deleted_as_they_are(index: Index) -> None:
    _write(index, objects(["bystander", *ODD_KEYS]))
    _write(index, objects(ODD_KEYS, title="again"))
    assert _keys(index) == sorted(["bystander", *ODD_KEYS])
    assert sorted(index.fetch(ODD_KEYS)[KEY]) == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        found = index.get(key)
        assert found is not None
        assert (found[KEY], found["title"]) == (key, "again")
    with index.lock():
        assert index.delete(ODD_KEYS) == len(ODD_KEYS)
    assert _keys(index) == ["bystander"]


def test_vectors_of_another_length_are_refused(store: Store, index: Index) -> None:
    other = IndexSchema(ONE_FIELD.fields, DIMENSION + 1)
    with index.lock(), pytest.raises(DimensionChanged):
        index.upsert(objects(["a"], dimension=DIMENSION + 1))
    with pytest.raises(DimensionChanged):
        index.search([1.0] * (DIMENSION + 1), limit=1)
    with pytest.raises(DimensionChanged):
        store.create(index.name, other)
    assert index.dimension == DIMENSION


def test_creating_twice_opens_what_is_there(store: Store, index: Index) -> None:
    _write(index, objects(["a"]))
    assert store.create(index.name, ONE_FIELD).count() == 1


def test_another_process_opens_an_index_by_its_name_alone(place: Place, index: Index) -> None:
    _write(index, objects(ODD_KEYS))
    assert sorted(json.loads(place.run("read", index.name))) == sorted(ODD_KEYS)


def test_indexes_are_listed_opened_and_dropped_by_name(place: Place, store: Store) -> None:
    assert store.names() == []
    store.create("b-1", ONE_FIELD)
    store.create("A_2", ONE_FIELD)
    assert sorted(store.names()) == ["A_2", "b-1"]
    assert store.exists("b-1")
    found = store.find("b-1")
    assert found is not None
    assert found.name == "b-1"

    store.drop("b-1")
    store.drop("b-1")

    assert not store.exists("b-1")
    assert store.find("b-1") is None
    assert place.open().names() == ["A_2"]
    with pytest.raises(NotFound, match="b-1"):
        store.open("b-1")


def test_an_index_that_is_dropped_under_a_reader_is_not_found(store: Store, index: Index) -> None:
    _write(index, objects(["a"]))
    store.drop(index.name)
    with pytest.raises(NotFound):
        index.count()
    with pytest.raises(NotFound), index.lock():
        pass
    assert store.names() == []


def test_looking_for_an_index_that_is_being_dropped_finds_it_or_none(
    place: Place, store: Store
) -> None:
    # given somebody who looks for an index until there is none
    def look(name: str) -> int:
        finder, times = place.open(), 0
        while finder.find(name) is not None:
            times += 1
        return times

    with ThreadPoolExecutor(1) as aside:
        for name in names(20):
            store.create(name, ONE_FIELD)
            looking = aside.submit(look, name)
            time.sleep(0.02)
            # when it is dropped meanwhile
            store.drop(name)
            # then nothing was raised at any moment
            assert looking.result(timeout=PATIENCE_SECONDS) >= 0


def test_a_dropped_name_starts_empty_again(store: Store, index: Index) -> None:
    _write(index, objects(["a", "b"]))
    store.drop(index.name)
    again = store.create(index.name, ONE_FIELD)
    assert again.count() == 0
    _write(again, objects(["c"]))
    assert _keys(again) == ["c"]
    assert again.get("a") is None


def test_environments_do_not_see_each_other(place: Place, store: Store, index: Index) -> None:
    other = place.elsewhere().open()
    assert other.names() == []
    other.drop(index.name)
    assert store.exists(index.name)


def test_maintenance_changes_nothing_that_can_be_read(index: Index) -> None:
    for number in range(30):
        _write(index, objects(names(20, start=number * 10), title=f"t{number}"))
    before = pl.concat(index.scan()).sort(KEY)
    index.maintain()
    index.maintain(force=True)
    assert pl.concat(index.scan()).sort(KEY).equals(before)


def test_the_token_of_the_content_changes_with_every_write_and_with_nothing_else(
    index: Index,
) -> None:
    seen = [index.content_token()]

    def changed() -> bool:
        seen.append(index.content_token())
        return None not in seen and len({*seen}) == len(seen)

    # given an index that is written to in every way, then each write gives it another token
    _write(index, objects(["a", "b"]))
    assert changed()
    _write(index, objects(["b"], title="new"))
    assert changed()
    with index.lock():
        index.delete(["a"])
    assert changed()
    with index.lock():
        index.rewrite(["b"])
    assert changed()

    # and reading gives it none
    assert list(index.scan())
    assert index.get("b")
    assert index.content_token() == seen[-1]


def test_an_index_tells_its_own_writes_from_those_of_others_or_tells_nothing(
    store: Store, index: Index
) -> None:
    before = index.content_token()
    assert before is not None
    assert index.own_token(before) == before

    _write(index, objects(["a", "b"]))
    assert index.own_token(before) in (None, index.content_token())

    before = index.content_token()
    assert before is not None
    _write(index, objects(["a"], title="ours"))
    _write(store.open(index.name), objects(["b"], title="theirs"))
    _write(index, objects(["c"], title="ours"))
    assert index.own_token(before) is None
