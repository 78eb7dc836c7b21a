"""An index says that only it was written by one hand, or says nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import lancedb
import pytest

from semilayer_pipelines.stores.chunks.index import ChunkedIndex
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.lance.store import LanceStore
from tests.stores.chunks.rows import SCHEMA, rows

NAME = "lens-1-g000001"


@pytest.fixture
def store(tmp_path: Path) -> ChunkedStore:
    return ChunkedStore(LanceStore(tmp_path, "development"))


@pytest.fixture
def index(store: ChunkedStore) -> ChunkedIndex:
    """An index of two rows, one of which is cut in three."""
    made = store.create(NAME, SCHEMA)
    with made.lock():
        made.add(rows({"a": "short", "b": ("one", "two", "three")}))
    return made


def looked_at(index: ChunkedIndex) -> str:
    token = index.content_token()
    assert token is not None
    return token


def write(index: ChunkedIndex, key: str = "a") -> None:
    with index.lock():
        index.upsert(rows({key: "new"}))


def test_every_write_of_its_own_is_followed(index: ChunkedIndex) -> None:
    before = looked_at(index)
    assert index.own_token(before) == before

    with index.lock():
        index.upsert(rows({"a": "other", "b": ("one", "two")}))
        index.delete(["nothing", "a"])
    with index.lock():
        index.add(rows({"c": "late"}))
    with index.lock():
        index.rewrite(["c"])
    with index.lock():
        pass

    after = index.own_token(before)
    assert after == index.content_token() != before
    # and it goes on from there
    write(index)
    assert after is not None
    assert index.own_token(after) == index.content_token() != after


def another(store: ChunkedStore, _: Path) -> None:
    write(store.open(NAME), "z")


def stranger(_: ChunkedStore, folder: Path) -> None:
    lancedb.connect(folder / "development").open_table(NAME).delete("_key = 'a'")


def upkeep(store: ChunkedStore, _: Path) -> None:
    store.open(NAME).maintain(force=True)


@pytest.mark.parametrize("meddle", [another, stranger, upkeep])
def test_whoever_else_writes_between_two_of_its_locks_is_noticed(
    index: ChunkedIndex,
    store: ChunkedStore,
    tmp_path: Path,
    meddle: Callable[[ChunkedStore, Path], None],
) -> None:
    before = looked_at(index)
    write(index)
    meddle(store, tmp_path)
    write(index)

    assert index.own_token(before) is None
    # until it is looked at again
    again = looked_at(index)
    write(index)
    assert index.own_token(again) == index.content_token()


@pytest.mark.parametrize("meddle", [another, stranger])
def test_whoever_writes_behind_its_last_write_is_noticed(
    index: ChunkedIndex,
    store: ChunkedStore,
    tmp_path: Path,
    meddle: Callable[[ChunkedStore, Path], None],
) -> None:
    before = looked_at(index)
    write(index)
    meddle(store, tmp_path)

    assert index.own_token(before) is None


@pytest.mark.parametrize("writes", [(True, False), (False, True), (True, True), (False, False)])
def test_a_stranger_who_does_not_wait_for_the_lock_is_noticed(
    index: ChunkedIndex, store: ChunkedStore, tmp_path: Path, writes: tuple[bool, bool]
) -> None:
    before = looked_at(index)
    with index.lock():
        if writes[0]:
            index.upsert(rows({"c": "ours"}))
        stranger(store, tmp_path)
        if writes[1]:
            index.upsert(rows({"d": "ours"}))

    assert index.own_token(before) is None


def test_what_was_done_before_an_error_may_be_anything(index: ChunkedIndex) -> None:
    def write_and_fail() -> None:
        with index.lock():
            index.upsert(rows({"c": "ours"}))
            raise ZeroDivisionError

    before = looked_at(index)
    with pytest.raises(ZeroDivisionError):
        write_and_fail()

    assert index.own_token(before) is None


def test_a_backup_that_was_put_back_is_noticed_though_versions_have_the_same_numbers(
    index: ChunkedIndex, store: ChunkedStore, tmp_path: Path
) -> None:
    table = tmp_path / "development" / f"{NAME}.lance"
    shutil.copytree(table, tmp_path / "backup")
    before = looked_at(index)
    write(index)
    shutil.rmtree(table)
    shutil.copytree(tmp_path / "backup", table)
    another(store, tmp_path)

    assert index.own_token(before) is None


def test_the_first_row_that_is_cut_ends_it(store: ChunkedStore) -> None:
    index = store.create(NAME, SCHEMA)
    write(index)
    before = looked_at(index)
    with index.lock():
        index.upsert(rows({"b": ("one", "two")}))

    assert index.own_token(before) is None


def test_a_token_that_it_did_not_tell_is_none_of_its_own(
    index: ChunkedIndex, store: ChunkedStore
) -> None:
    elsewhere = looked_at(store.open(NAME))

    assert index.own_token(elsewhere) is None
