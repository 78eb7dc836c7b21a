"""Rows whose long texts are cut, while runs die and pause, and while others write and read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest import lens_watch, records
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry.jobs import Job, Mode
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
    wanted_texts,
    wrong,
)
from tests.ingest.test_boundaries import PAGE_READ
from tests.ingest.test_kill import give_up_on_the_dead
from tests.ingest.ways import by_records, by_sync
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.mortal import Died, Life, dies_at, mortal

WRITES = {name + end for name in ("add", "upsert", "delete") for end in ("", ".done")}
MODES = [Mode.FULL, Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS]
PAGE_ROWS = ROWS // 3


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Give a lens of which most rows are cut, indexed."""
    lab = chunked(tmp_path, ROWS)
    lab.full()
    return lab


def job_of(lab: Lab, mode: Mode) -> Job:
    full = mode is Mode.FULL
    return lifecycle.request_rebuild(lab.project, ENV, "items") if full else lab.request(mode)


def is_write(step: str) -> bool:
    part, _, verb = step.partition(".")
    return part == "index" and verb in WRITES


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_dies_at_any_step_of_the_store_is_done_again_and_all_is_well(
    tmp_path: Path, mode: Mode
) -> None:
    lab = chunked(tmp_path, ROWS)
    lab.full()
    deaths, at = 0, 0
    while True:
        everything_changed(lab)
        done = False
        at += 1 + at // 6
        try:
            run_job(mortal(lab.project, dies_at(at, is_write)), job_of(lab, mode).id)
            done = True
        except Died:
            deaths += 1
        for key, text in wanted_texts(lab).sample(5, seed=at).select(KEY, "_text").iter_rows():
            hits = search(lab.project, "items", text, limit=ROWS)
            assert key in {hit.id for hit in hits}, "no row may be lost to a search"
        give_up_on_the_dead(lab)
        by_sync(lab, [])
        by_sync(lab, [])
        assert wrong(lab, closely=done) == [], f"after {at} steps"
        if done:
            break
        with lab.source() as db:
            db.execute("UPDATE items SET description = description || ' a', name = 'o' || id")
        by_sync(lab, [])
    assert deaths >= 4


@pytest.mark.parametrize("mode", MODES)
def test_a_paused_run_goes_on_and_all_is_well(
    lab: Lab, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that is paused when it is about to read its second page
    monkeypatch.setattr(lens_watch, "PAUSE_CHECK_SECONDS", 0.0)
    monkeypatch.setattr(records, "CLAIM_ROWS", PAGE_ROWS)
    everything_changed(lab)
    job, pages = job_of(lab, mode), 0

    def pause(what: str, _: Life) -> None:
        nonlocal pages
        pages += what in PAGE_READ
        if what in PAGE_READ and pages == 2:
            lifecycle.pause(lab.project, ENV, "items")

    done = run_job(mortal(lab.project, Life(pause), page_rows=PAGE_ROWS), job.id)
    assert done.ended is RunEnd.PAUSED
    assert done.counts.read < ROWS

    # when it goes on
    lifecycle.resume(lab.project, ENV, "items")
    assert lab.run(job).ended is RunEnd.COMPLETED

    # then it has done all there was to do
    assert wrong(lab) == []


def test_a_rebuild_catches_up_with_long_rows_that_change_meanwhile(lab: Lab) -> None:
    once: list[str] = []

    def during(texts: Sequence[str]) -> None:
        if not once:
            once.append("")
            change(lab, f"description = '{LONG}'", 1, 2)
            by_records(lab, [1, 2])

    lab.push(embedding={"provider": "hash", "model": "another"}, chunking=CHUNKING)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    run_job(Meddled.of(lab.project, during), job.id)

    assert once
    assert wrong(lab) == []


def test_readers_miss_no_row_and_see_no_chunk_of_an_older_version(lab: Lab) -> None:
    [text] = wanted_texts(lab).filter(pl.col(KEY) == "1").tail(1)["_text"]

    with beside(partial(finds_whole_rows, lab, text)):
        for turn in range(6):
            change(lab, f"description = '{turn} {LONG}'", *range(1, ROWS, 2))
            lab.sync()
    assert wrong(lab) == []
