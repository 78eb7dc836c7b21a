"""A reader beside a writer, and a writer that dies: a row is found, whole, at every moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.stores.chunks.protocol import CHUNK
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH
from tests.stores.chunks.rows import SCHEMA, hashes, near, rows
from tests.stores.conftest import Place

NAME = "lens-1-g000001"
ROUNDS = 12
NOTHING = pl.DataFrame(schema={KEY: pl.String, ROW_HASH: pl.Binary, TEXT_HASH: pl.Binary})


class Died(BaseException):
    """The writer is gone."""


class Mortal:
    """A store or an index whose caller dies at a step: before it is done, or just after."""

    def __init__(
        self,
        inner: Any,
        step: Callable[[str], None],
        steps: tuple[str, ...] = ("add", "upsert", "delete"),
    ) -> None:
        self._inner, self._step, self._steps = inner, step, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name in ("find", "open", "create"):
            mortal = partial(Mortal, step=self._step, steps=self._steps)
            return lambda *given: (index := found(*given)) and mortal(index)
        if name not in self._steps:
            return found

        def told(*given: Any, **options: Any) -> Any:
            self._step(name)
            result = found(*given, **options)
            self._step(f"{name} done")
            return result

        return told


def lives(place: Place) -> Iterator[tuple[int, ChunkedStore, list[str]]]:
    """Yield a store for each step at which a writer may die, until one lives to the end."""
    for last in range(100):
        steps: list[str] = []

        def step(what: str, steps: list[str] = steps, last: int = last) -> None:
            steps.append(what)
            if len(steps) > last:
                raise Died

        yield last, ChunkedStore(Mortal(place.open(), step)), steps
        if len(steps) <= last:
            return
    raise AssertionError("no writer lives")


def version_of(n: int) -> dict[str, str | tuple[str, ...]]:
    """Return the rows of a version: one that was always cut, one now and then, one never."""
    parts = tuple(f"{n} part {at}" for at in range(2 + n % 3))
    return {"1": parts, "2": parts if n % 2 else f"{n} whole", "3": f"{n} as well"}


@pytest.mark.parametrize("verb", ["upsert", "delete"])
def test_a_row_is_the_old_or_the_new_one_wherever_its_writer_dies(place: Place, verb: str) -> None:
    old, new = rows(version_of(0)), rows(version_of(1))
    deaths = 0
    for last, dying, steps in lives(place):
        store = ChunkedStore(place.open())
        index = store.create(f"lens-1-g{last:06d}", SCHEMA)
        with index.lock():
            index.upsert(old)

        mortal = dying.open(index.name)
        steps.clear()
        try:
            with mortal.lock():
                mortal.upsert(new) if verb == "upsert" else mortal.delete(["1", "2", "3"])
        except Died:
            deaths += 1

        again = ChunkedStore(place.open()).open(index.name)
        known = {*hashes(old), *hashes(new)}
        found = hashes(pl.concat([NOTHING, *again.scan()]))
        assert {*found} <= known, f"after {steps}"
        assert verb == "delete" or len(found) == 3
        for key, *_ in found:
            row = again.get(key)
            assert row is not None
            hits = again.search(near(str(row["body"])[:20].strip(".")), limit=5)
            assert key in hits[KEY].to_list()
        # Whoever comes next brings all of it in, and nothing stays behind.
        with again.lock():
            again.upsert(new)
        list(again.scan())
        with again.lock():
            again.remove_leftovers()
        assert hashes(pl.concat(list(again.scan()))) == hashes(new)
        assert again.vectors() == 3 + 6
        store.drop(index.name)
    assert deaths >= 4


def test_no_search_misses_a_row_or_shows_a_chunk_of_an_older_version(place: Place) -> None:
    store = ChunkedStore(place.open())
    index = store.create(NAME, SCHEMA)
    with index.lock():
        index.upsert(rows(version_of(0)))
    fault: list[str] = []
    asked = 0
    done = threading.Event()

    def read() -> None:
        nonlocal asked
        reader = ChunkedStore(place.open()).open(NAME)
        while not done.is_set():
            hits = reader.search(near("0 part 1"), limit=5)
            asked += 1
            if sorted(hits[KEY]) != ["1", "2", "3"]:
                fault.append(f"found {hits[KEY].to_list()}")
            for key, body, chunk in hits.select(KEY, "body", CHUNK).iter_rows():
                if chunk is not None and chunk["end"] > len(body):
                    fault.append(f"{key}: a chunk of another version, {chunk}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    try:
        for n in count(1):
            if n >= ROUNDS and asked > ROUNDS / 2:
                break
            with index.lock():
                index.upsert(rows(version_of(n)))
    finally:
        done.set()
        for each in readers:
            each.join()
    assert not fault, fault[:5]


def test_a_row_is_found_though_it_is_replaced_after_every_question(place: Place) -> None:
    # given rows, one of which is whole, and a writer who is quicker than any search
    index = ChunkedStore(place.open()).create(NAME, SCHEMA)
    version = count(1, 2)

    def write(step: str) -> None:
        if step == "search done":
            with index.lock():
                index.upsert(rows(version_of(next(version))))

    write("search done")
    reader = ChunkedStore(Mortal(place.open(), write, ("search",))).open(NAME)

    # when
    hits = reader.search(near("0 part 1"), limit=5)

    # then none is missed, and none is shown with a chunk of what it was
    assert sorted(hits[KEY]) == ["1", "2", "3"]
    for body, chunk in hits.select("body", CHUNK).iter_rows():
        assert chunk is None or chunk["end"] <= len(body)
