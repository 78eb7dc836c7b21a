"""Rows whose long texts are cut, in Weaviate: every way, tenants, and a server that crashes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.control.verify import verify_lens
from semilayer_pipelines.queries.findings import Depth, Kind
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.chunks.versions import parsed
from semilayer_pipelines.stores.protocol import KEY
from tests.beside import beside
from tests.ingest.chunked import (
    CHUNKING,
    LONG,
    ROWS,
    change,
    chunked,
    everything_changed,
    finds_whole_rows,
    row_index,
    wanted_texts,
    wrong,
)
from tests.ingest.conftest import needs_the_double
from tests.ingest.ways import WAYS, Way, by_sync
from tests.lab import ENV, Lab
from tests.weaviate_double.server import Double
from tests.workload import FIELDS


@pytest.fixture
def lab(tmp_path: Path, environ: dict[str, str]) -> Iterator[Lab]:
    lab = chunked(tmp_path, ROWS, environ=environ)
    lab.full()
    yield lab
    dropped(lab)


def dropped(lab: Lab) -> None:
    store = lab.project.store(ENV)
    for name in store.names():
        store.drop(name)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_brings_in_what_became_of_long_rows(lab: Lab, way: Way) -> None:
    assert wrong(lab) == []
    everything_changed(lab)

    way(lab, range(1, ROWS + 1))

    assert wrong(lab) == []


def test_a_changed_setting_cuts_all_long_rows_again(lab: Lab) -> None:
    lab.push(chunking={"size": 64})
    lab.sync()
    assert wrong(lab) == []

    lab.push(chunking="off")
    lab.sync()
    assert wrong(lab) == []


def test_readers_miss_no_row_and_see_no_chunk_of_an_older_version(lab: Lab) -> None:
    [text] = wanted_texts(lab).filter(pl.col(KEY) == "1").tail(1)["_text"]

    with beside(partial(finds_whole_rows, lab, text)):
        for turn in range(4):
            change(lab, f"description = '{turn} {LONG}'", *range(1, ROWS, 2))
            lab.sync()
    assert wrong(lab) == []


def test_rows_of_a_tenant_are_found_in_it_and_move_with_their_chunks(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    fields = FIELDS | {"category": {"type": "text"}}
    lab = chunked(tmp_path, ROWS, environ=environ, fields=fields, tenant="category")
    lab.full()
    assert wrong(lab) == []
    change(lab, "category = 'elsewhere'", 1, 2)

    by_sync(lab, [])

    assert wrong(lab) == []
    texts = wanted_texts(lab).filter(pl.col(KEY) == "1")["_text"].to_list()
    [hit] = search(lab.project, "items", texts[-1], limit=1, where={"category": "elsewhere"})
    assert (hit.id, hit.chunk is not None) == ("1", True)
    found = search(lab.project, "items", texts[-1], limit=ROWS, where={"category": "tools"})
    assert "1" not in {each.id for each in found}
    dropped(lab)


@needs_the_double
@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.RECORDS])
def test_chunks_that_a_crash_hid_are_found_again(
    tmp_path: Path, environ: dict[str, str], server: Double, mode: Mode
) -> None:
    lab = chunked(tmp_path, ROWS, environ=environ, chunking=CHUNKING)
    lab.full()
    server.kill_and_restart(hide=24)
    looked = verify_lens(lab.project, lab.lens, Depth(search=True), heal=False)
    assert looked.found[Kind.HIDDEN].count

    counts = lab.run(lab.request(mode)).counts

    assert (counts.recovered > 0, counts.embedded) == (True, 0)
    assert wrong(lab) == []
    for key, text in wanted_texts(lab).select(KEY, "_text").iter_rows():
        [hit] = search(lab.project, "items", text, limit=1)
        assert hit.score > 0.999, key
    assert row_index(lab).hidden([str(n) for n in range(1, ROWS + 1)]) == []
    dropped(lab)


@needs_the_double
def test_chunks_in_no_index_go_when_their_row_is_gone(
    tmp_path: Path, environ: dict[str, str], server: Double
) -> None:
    # given a row that a crash left in no index with its chunks, and that is gone
    def is_of_the_row(key: str) -> bool:
        return "1" in (key, parsed(pl.Series(KEY, [key]))[KEY][0])

    lab = chunked(tmp_path, ROWS, environ=environ, chunking=CHUNKING)
    lab.full()
    assert all(part.lose(is_of_the_row) for part in server.state.classes.values())
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 1")

    # when
    lab.sync()
    lab.sync()

    # then
    assert wrong(lab) == []
    dropped(lab)
