"""What `explain`, a dry run and `status` tell of rows whose long texts are cut."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from semilayer_pipelines.cli.status_document import status_of
from semilayer_pipelines.queries.dry_run import dry_run
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.protocol import KEY
from tests.ingest.chunked import CHUNKING, LONG, chunked, row_index, wanted_texts
from tests.lab import ENV, Lab
from tests.workload import FIELDS

ROWS = 12


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = chunked(tmp_path, ROWS)
    with lab.source() as db:
        db.execute("UPDATE items SET description = ? WHERE id = 1", (LONG,))
    lab.full()
    return lab


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"type": "text", "array": True}, ", ".join(f"tag {n} of many" for n in range(40))),
        ({"type": "number", "array": True}, ", ".join(str(n) for n in range(100, 160))),
        ({"type": "json"}, '["' + '","'.join(f"tag {n} of many" for n in range(40)) + '"]'),
    ],
)
def test_a_hit_tells_the_chunk_of_a_field_that_is_no_plain_text_as_it_was_embedded(
    tmp_path: Path, field: dict[str, object], text: str
) -> None:
    parts = {"type": "split", "separator": ", "}
    transform = [parts] if field.get("array") else []
    cut = field | {"searchable": True, "transform": transform}
    lens = FIELDS | {"name": {"type": "text"}, "description": cut}
    lab = Lab.at(tmp_path, rows=3, fields=lens, chunking=CHUNKING)
    with lab.source() as db:
        db.execute("UPDATE items SET description = ?", (text,))
    lab.full()

    hits = search(lab.project, "items", text, limit=3)

    chunks = [hit.chunk for hit in hits]
    assert len(chunks) == 3
    for chunk in chunks:
        assert chunk is not None
        assert chunk.field == "description"
        assert chunk.text == text[chunk.start : chunk.end] != ""


def test_a_row_is_told_with_its_chunks_and_where_they_are(lab: Lab) -> None:
    told = explain(lab.project, ENV, "items", "1")

    assert told.verdict == "It is indexed as it is in the source."
    assert told.mapped is not None
    assert len(told.chunks) > 3
    for chunk in told.chunks:
        assert chunk.held
        assert chunk.text.endswith(str(told.mapped.fields[chunk.field])[chunk.start : chunk.end])
    assert told.embedding is not None
    assert told.embedding.similarity == pytest.approx(1, abs=1e-4)
    assert explain(lab.project, ENV, "items", "3").chunks == ()


def test_a_chunk_that_is_lost_is_told(lab: Lab) -> None:
    raw = cast(ChunkedStore, lab.project.store(ENV)).inner.open(f"{lab.index.name}-chunks")
    [lost] = [k for f in raw.scan() for k in f[KEY] if k.startswith("2:") and k.endswith(":1")]
    with raw.lock():
        raw.delete([lost])

    told = explain(lab.project, ENV, "items", "1")

    assert [chunk.held for chunk in told.chunks].count(False) == 1
    assert told.verdict == (
        "Not all of its chunks are in the index, or others are; a smart sync mends it."
    )


def test_a_row_that_is_to_be_cut_otherwise_is_told(lab: Lab) -> None:
    lab.push(chunking="off")
    for key in ("1", "2"):
        told = explain(lab.project, ENV, "items", key)
        assert told.verdict == (
            "Its text is to be cut in another way than it is indexed; a smart sync does it."
        )
    told = explain(lab.project, ENV, "items", "3")
    assert told.verdict == "It is indexed as it is in the source."


def test_a_dry_run_counts_the_chunks_that_would_be_embedded(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET description = description || ' more' WHERE id IN (1, 3)")
    have = {*row_index(lab).held([str(n) for n in range(1, ROWS + 1)])["_text_hash"]}

    found = dry_run(lab.project, ENV, "items")

    new = {*wanted_texts(lab)["_text_hash"]} - have
    assert found.embedding.texts == len(new)
    assert lab.sync().counts.embedded == len(new)


def test_status_counts_rows_and_vectors(lab: Lab) -> None:
    [line] = status_of(lab.project, ENV, None).lenses

    assert line.rows == ROWS
    assert line.vectors == row_index(lab).vectors() > 2 * ROWS
