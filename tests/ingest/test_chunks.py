"""Rows whose long texts are cut: through every mode, every change and every death of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

import polars as pl
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.rollback import rollback
from semilayer_pipelines.errors import EmbeddingRejected
from semilayer_pipelines.ingest.retention import KEEP_RETIRED, tidy
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry import changes, failed_rows, generations
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Needs
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.protocol import KEY, Index
from tests.ingest.chunked import (
    CHUNKING,
    LONG,
    ROWS,
    change,
    chunked,
    row_index,
    wanted_texts,
    wrong,
)
from tests.ingest.ways import WAYS, Way, by_incremental, by_records
from tests.lab import ENV, Lab
from tests.meddling import Meddled


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Give a lens of which most rows are cut, indexed."""
    lab = chunked(tmp_path, ROWS)
    lab.full()
    return lab


def active(lab: Lab) -> Generation:
    with lab.project.registry.read() as db:
        found = generations.active(db, lab.lens.id)
    assert found is not None
    return found


def needs(lab: Lab) -> Needs:
    return lab.lens.needs


def test_a_full_ingest_cuts_long_rows_and_leaves_the_others_whole(tmp_path: Path) -> None:
    lab = chunked(tmp_path, ROWS)

    done = lab.full().counts

    want = wanted_texts(lab)
    assert wrong(lab) == []
    assert (done.written, done.truncated) == (ROWS, 0)
    assert done.embedded == want.height > 2 * ROWS
    plain = Lab.at(tmp_path / "plain", rows=ROWS, chunking="off")
    with plain.source() as db:
        db.execute("UPDATE items SET name = 'short', description = id WHERE id % 3 = 0")
    plain.full()
    short = [str(n) for n in range(3, ROWS + 1, 3)]
    for_all = ["_key", "_row_hash", "_text_hash", "_vector"]
    assert (
        row_index(lab)
        .fetch(short)
        .sort(KEY)
        .select(for_all)
        .equals(row_index(plain).fetch(short).sort(KEY).select(for_all))
    )


def test_a_row_is_found_by_what_stands_at_its_end(lab: Lab) -> None:
    change(lab, f"description = '{LONG}'", 7)
    lab.sync()
    [last] = wanted_texts(lab).filter(pl.col(KEY) == "7").tail(1)["_text"]

    [hit] = search(lab.project, "items", last, limit=1)

    assert hit.id == "7"
    assert hit.score == pytest.approx(1, abs=1e-5)
    assert hit.chunk is not None
    assert hit.fields["description"] == LONG
    assert LONG[hit.chunk.start : hit.chunk.end] == hit.chunk.text
    assert last.endswith(hit.chunk.text)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_brings_in_what_became_of_long_rows(lab: Lab, way: Way) -> None:
    change(lab, f"description = '{LONG}'", 1, 3)  # cut otherwise; fitted before
    change(lab, "description = 'fits now', name = 'n'", 2)
    change(lab, "price = -1", 4)

    way(lab, [1, 2, 3, 4])

    assert wrong(lab) == []


def test_a_change_of_metadata_embeds_nothing(lab: Lab) -> None:
    change(lab, "price = -1", *range(1, ROWS + 1))

    done = lab.sync().counts

    assert (done.written, done.embedded) == (ROWS, 0)
    assert wrong(lab) == []


def test_an_edit_pays_for_the_edit(lab: Lab) -> None:
    change(lab, f"description = '{LONG}', name = 'x'", 1)
    lab.sync()

    change(lab, f"description = '{LONG} And a last word.'", 1)
    done = lab.sync().counts

    assert done.written == 1
    assert done.embedded <= 3
    assert done.reused >= 4
    assert wrong(lab) == []


def test_a_rebuild_takes_the_vectors_of_all_chunks_over(lab: Lab) -> None:
    done = lab.full().counts

    assert done.embedded == 0
    assert done.reused == wanted_texts(lab).height
    assert wrong(lab) == []


def test_deleted_rows_go_with_their_chunks(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id IN (1, 3)")
    with lab.project.registry.begin() as db_:
        told = [(str(id), Action.DELETE) for id in (1, 2, 3)]
        changes.append(db_, lab.lens.id, told, lab.project.clock())
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 2")

    lab.apply_all()

    assert wrong(lab) == []


def test_an_index_of_before_embeds_its_long_rows_and_nothing_else(tmp_path: Path) -> None:
    lab = chunked(tmp_path, ROWS, chunking="off")
    lab.full()
    whole = [str(n) for n in range(3, ROWS + 1, 3)]
    before = row_index(lab).fetch(whole).sort(KEY)
    assert needs(lab) is Needs.NOTHING

    lab.push(chunking=CHUNKING)

    assert needs(lab) is Needs.SMART_SYNC
    found = audit(lab.project, lab.lens)
    want = wanted_texts(lab)
    chunks = want.filter(pl.col(KEY).is_duplicated())
    cut = chunks[KEY].n_unique()
    assert found.found[Kind.CHUNKS].count == cut
    assert found.to_embed.texts == chunks["_text_hash"].n_unique()
    done = lab.sync().counts
    assert (done.written, done.unchanged) == (cut, ROWS - cut)
    assert done.embedded == chunks.height
    assert wrong(lab) == []
    assert needs(lab) is Needs.NOTHING
    assert lab.sync().counts.written == 0
    assert row_index(lab).fetch(whole).sort(KEY).equals(before)


@pytest.mark.parametrize("chunking", ["off", {"size": 64}, {"size": 20}])
def test_a_changed_setting_cuts_the_long_rows_again(lab: Lab, chunking: object) -> None:
    lab.push(chunking=chunking)
    assert needs(lab) is Needs.SMART_SYNC

    lab.sync()

    assert wrong(lab) == []
    assert needs(lab) is Needs.NOTHING
    assert lab.sync().counts.written == 0
    lab.push(chunking=CHUNKING)
    lab.sync()
    assert wrong(lab) == []


def test_a_setting_that_is_taken_back_half_way_leaves_no_row_as_it_should_not_be(lab: Lab) -> None:
    lab.push(chunking={"size": 64})
    change(lab, "price = -1", 1, 2)
    by_incremental(lab, [1, 2])

    lab.push(chunking=CHUNKING)
    assert needs(lab) is Needs.SMART_SYNC
    lab.sync()

    assert wrong(lab) == []


def test_a_new_version_says_that_a_sync_is_needed_and_a_sync_of_its_own_does_it(lab: Lab) -> None:
    with lab.project.registry.begin() as db:
        generations.note_splitter(db, active(lab).id, "that of an older version")

    lab.push(chunking=CHUNKING)

    assert needs(lab) is Needs.SMART_SYNC
    assert lab.sync().counts.written == 0
    assert needs(lab) is Needs.NOTHING
    assert active(lab).split_by != "that of an older version"


def chunks_of(lab: Lab) -> Index:
    store = cast(ChunkedStore, lab.project.store(ENV))
    return store.inner.open(f"{lab.index.name}-chunks")


def test_verify_and_smart_sync_notice_a_lost_chunk_and_embed_just_that(lab: Lab) -> None:
    raw = chunks_of(lab)
    [lost] = [key for f in raw.scan() for key in f[KEY] if key[0] == "1" and key.endswith(":2")]
    with raw.lock():
        raw.delete([lost])

    found = audit(lab.project, lab.lens)
    assert found.found[Kind.CHUNKS].ids == ("2",)
    assert found.to_embed.texts == 1
    done = lab.sync().counts

    assert (done.written, done.embedded) == (1, 1)
    assert wrong(lab) == []


def test_an_index_that_lost_all_its_chunks_gets_them_again(lab: Lab) -> None:
    store = cast(ChunkedStore, lab.project.store(ENV))
    store.inner.drop(f"{lab.index.name}-chunks")
    found = audit(lab.project, lab.lens)
    assert (
        found.found[Kind.CHUNKS].count
        == wanted_texts(lab).filter(pl.col(KEY).is_duplicated())[KEY].n_unique()
    )

    lab.sync()

    assert wrong(lab) == []


def rejecting(text: str) -> Callable[[Sequence[str]], None]:
    def during(texts: Sequence[str]) -> None:
        if any(text in each for each in texts):
            raise EmbeddingRejected("there is poison in it")

    return during


def test_a_rejected_chunk_sets_its_row_aside_and_the_row_keeps_what_it_had(lab: Lab) -> None:
    before = row_index(lab).held(["1"])
    change(lab, f"description = '{LONG} poison'", 1, 2)
    change(lab, f"description = '{LONG}'", 3)
    picky = Meddled.of(lab.project, rejecting("poison"))

    job = lifecycle.request_sync(lab.project, ENV, "items", confirmed=False)
    done = run_job(picky, job.id).counts

    assert done.failed == 2
    assert row_index(lab).held(["1"]).equals(before)
    with lab.project.registry.read() as db:
        assert sorted(failed_rows.keys(db, lab.lens.id, 10)) == ["1", "2"]
    lab.sync()
    assert wrong(lab) == []


def test_a_row_that_was_set_aside_while_all_were_cut_again_is_cut_when_it_can_be(
    tmp_path: Path,
) -> None:
    lab = chunked(tmp_path, ROWS, chunking="off")
    change(lab, f"description = '{LONG} poison'", 1)
    lab.full()
    lab.push(chunking=CHUNKING)
    picky = Meddled.of(lab.project, rejecting("poison"))
    job = lifecycle.request_sync(lab.project, ENV, "items", confirmed=False)
    assert run_job(picky, job.id).counts.failed == 1

    lab.sync()

    assert wrong(lab) == []


def test_going_back_to_an_older_index_brings_its_chunks_along(lab: Lab) -> None:
    lab.full()
    change(lab, f"description = '{LONG}'", 1)
    by_records(lab, [1])

    back = rollback(lab.project, ENV, "items")
    lab.run(back.sync)

    assert active(lab).number == 1
    assert wrong(lab) == []


def test_a_retired_index_is_dropped_with_its_chunks(lab: Lab) -> None:
    lab.full()
    later = Meddled.of(lab.project, later=KEEP_RETIRED + timedelta(minutes=1))

    tidy(later)

    store = cast(ChunkedStore, lab.project.store(ENV))
    assert sorted(store.inner.names()) == [lab.index.name, f"{lab.index.name}-chunks"]
    assert wrong(lab) == []
