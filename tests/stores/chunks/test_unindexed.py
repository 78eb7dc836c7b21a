"""Chunks that a server stored for a writer that died, and whose vectors it never indexed."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.stores.chunks.store import ChunkedStore
from tests.stores.chunks.rows import SCHEMA, near, rows
from tests.stores.chunks.test_writers import Died, Mortal
from tests.stores.weaviate.doubled import opened
from tests.weaviate_double.server import Double

CUT = {"1": ("one", "two"), "2": ("three", "four")}


@pytest.mark.parametrize("verb", ["add", "upsert"])
def test_chunks_of_a_writer_that_died_are_indexed_when_their_row_is_written(
    tmp_path: Path, verb: str
) -> None:
    def step(what: str) -> None:
        if what.endswith("done"):
            raise Died

    with Double.serving() as double:
        store = ChunkedStore(opened(double, tmp_path))
        index = store.create("lens-1-g000001", SCHEMA)
        dying = ChunkedStore(Mortal(opened(double, tmp_path), step)).open(index.name)
        with pytest.raises(Died), dying.lock():
            dying.upsert(rows(CUT))
        double.kill_and_restart(hide=25)

        with index.lock():
            getattr(index, verb)(rows(CUT))

        assert index.hidden(["1", "2"]) == []
        assert (index.count(), index.vectors()) == (2, 6)
        assert index.search(near("four"), limit=1)["_key"].to_list() == ["2"]
