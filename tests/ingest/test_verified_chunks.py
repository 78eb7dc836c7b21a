"""What a stranger, or a writer that died, left of chunks is found out, told, and mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import polars as pl
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.verify import verify_lens
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.findings import Audit, Depth, Kind
from semilayer_pipelines.stores.chunks.protocol import END, OF, START
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.chunks.versions import parsed
from semilayer_pipelines.stores.frames import object_columns
from semilayer_pipelines.stores.protocol import KEY, SHARD, TEXT_HASH, VECTOR, WORDS, Index
from tests.ingest.chunked import ROWS, chunked, row_index, wanted_texts, wrong
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.workload import FIELDS

DEEP = Depth(deep=True)
KEYWORDS = FIELDS | {"name": {"type": "text", "searchable": True, "keyword": True}}


@pytest.fixture(params=["lancedb", "weaviate"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    environ = {} if request.param == "lancedb" else request.getfixturevalue("environ")
    lab = chunked(tmp_path, ROWS, environ=environ, fields=KEYWORDS)
    lab.full()
    yield lab
    store = lab.project.store(ENV)
    for name in store.names():
        store.drop(name)


def objects(lab: Lab, *, chunks: bool = True) -> Index:
    """Return the index of chunks, or that of rows, as the store has it."""
    store = cast(ChunkedStore, lab.project.store(ENV))
    return store.inner.open(lab.index.name + ("-chunks" if chunks else ""))


def keys_of(lab: Lab, row: str) -> list[str]:
    keys = pl.concat(list(objects(lab).scan()))[KEY]
    return sorted(keys.filter(parsed(keys)[KEY] == row))


def by_hand(index: Index, key: str, **values: object) -> None:
    """Change an object in an index, as a stranger would: no other hashes."""
    held = index.get(key)
    assert held is not None
    with index.lock():
        index.delete([key])
        index.add(frame_of(index, held | values))


def frame_of(index: Index, held: Mapping[str, object]) -> pl.DataFrame:
    """Return an object that `Index.get` gave as one that can be written."""
    frame = pl.DataFrame([dict(held)])
    vector, shard = pl.Array(pl.Float32, index.dimension), pl.Int32
    named = frame.with_columns(pl.col(VECTOR).cast(vector), pl.col(SHARD).cast(shard))
    return named.select(object_columns(index.schema))


def verified(lab: Lab, depth: Depth = DEEP, *, heal: bool = False) -> Audit:
    return verify_lens(lab.project, lab.lens, depth, heal=heal)


def healed(lab: Lab) -> Counts:
    return lab.run(lifecycle.request_heal(lab.project, ENV, "items", rebuild=False)).counts


def test_an_index_that_nobody_touched_is_in_sync_chunk_by_chunk(lab: Lab) -> None:
    found = verified(lab)

    assert found.in_line
    assert (found.looked.read, found.looked.embedded) == (ROWS, ROWS)


def test_chunks_whose_rows_are_gone_or_of_another_version_are_told_and_removed(lab: Lab) -> None:
    # given a row whose object alone is gone, with its row, and chunks of an older version
    raw, sound = objects(lab), row_index(lab).vectors()
    gone, other = keys_of(lab, "1"), keys_of(lab, "2")
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 1")
    with objects(lab, chunks=False).lock():
        objects(lab, chunks=False).delete(["1"])
    held = raw.get(other[0])
    assert held is not None
    ordinal, _, key = other[0].split(":", 2)
    old = f"{ordinal}:{'0' * 16}:{key}"
    with raw.lock():
        raw.add(frame_of(raw, held | {KEY: old}))

    # when
    found = verified(lab, Depth())

    # then
    assert not found.in_line
    assert found.found[Kind.ORPHAN_CHUNK].count == len(gone) + 1
    assert {*found.found[Kind.ORPHAN_CHUNK].ids} == {"1", "2"}
    assert {kind for kind, one in found.found.items() if one.count} == {Kind.ORPHAN_CHUNK}

    # and the job that heals takes them out, and nothing else
    assert healed(lab).written == 0
    assert verified(lab, Depth()).in_line
    assert row_index(lab).vectors() == sound - len(gone) - 1
    assert wrong(lab) == []


def test_chunks_that_a_run_is_about_to_give_their_row_are_no_orphans(lab: Lab) -> None:
    """An audit begins between the two steps of a write, and the second comes while it walks."""
    main = objects(lab, chunks=False)
    held = main.get("1")
    assert held is not None
    row = frame_of(main, held)
    with main.lock():
        main.delete(["1"])

    def write(verb: str) -> None:
        if verb == "fetch" and main.get("1") is None:
            with main.lock():
                main.add(row)

    found = audit(Meddled.of(lab.project, before=write), lab.lens)

    assert found.found[Kind.ORPHAN_CHUNK].count == 0
    assert found.in_line


def test_altered_fields_of_chunks_and_words_are_told_and_written_without_embedding(
    lab: Lab,
) -> None:
    # given chunks that pass conditions they should not, and are shown at places of others
    by_hand(objects(lab), keys_of(lab, "1")[1], price=-1.5)
    by_hand(objects(lab), keys_of(lab, "2")[0], **{START: 5, END: 9})
    by_hand(objects(lab), keys_of(lab, "4")[2], **{OF: 2})
    by_hand(objects(lab, chunks=False), "5", **{WORDS: "other words"})
    assert verified(lab, Depth()).in_line

    # when
    found = verified(lab, heal=True)

    # then
    assert found.altered == {
        "1": ("price of chunks",),
        "2": ("place of chunks",),
        "4": ("place of chunks",),
        "5": ("keywords",),
    }
    counts = healed(lab)
    assert (counts.written, counts.embedded) == (4, 0)
    assert verified(lab).in_line
    assert wrong(lab) == []


def test_a_vector_of_any_chunk_that_is_another_texts_is_told_and_embedded_again(lab: Lab) -> None:
    # given one of another chunk, one of nothing, and a row that has not that of its first chunk
    other = objects(lab).get(keys_of(lab, "1")[0])
    assert other is not None
    by_hand(objects(lab), keys_of(lab, "2")[-1], **{VECTOR: other[VECTOR]})
    by_hand(objects(lab, chunks=False), "4", **{VECTOR: other[VECTOR]})
    assert verified(lab, Depth()).in_line

    # when
    found = verified(lab, heal=True)

    # then
    assert found.altered == {"2": ("vector of chunks",), "4": ("vector",)}
    counts = healed(lab)
    texts = wanted_texts(lab).filter(pl.col(KEY).is_in(["2", "4"])).unique([KEY, TEXT_HASH])
    assert (counts.written, counts.embedded) == (2, texts.height)
    assert verified(lab).in_line
    assert wrong(lab) == []
