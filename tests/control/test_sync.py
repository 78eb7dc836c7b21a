"""A person's own program brings a lens in sync in its process, with no Dagster near."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.sync import request_job, sync
from semilayer_pipelines.errors import (
    ConfigError,
    GuardStopped,
    NotFound,
    Refused,
    SemilayerError,
    SourceRefused,
    SourceUnreachable,
)
from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.ingest.lost_jobs import queue_lost
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab, as_environ
from tests.pages import page_done


def test_the_first_sync_fills_the_index_and_the_next_one_what_changed(tmp_path: Path) -> None:
    # given a lens that was just pushed
    lab = Lab.at(tmp_path, rows=50, shards=4)
    pages: list[int] = []

    # when
    first = sync(lab.project, "items", report=lambda page: pages.append(page.counts.read))
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 7")
        db.execute("DELETE FROM items WHERE id = 8")
    second = sync(lab.project, "items")

    # then
    assert (first.ended, first.counts.written, sum(pages)) == (RunEnd.COMPLETED, 50, 50)
    assert (second.counts.embedded, second.counts.deleted) == (1, 1)
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        made = jobs.recent(db)
    assert {job.origin for job in made} == {"python"}
    assert [job.mode for job in made] == [Mode.SMART_SYNC, Mode.FULL]


@pytest.mark.parametrize("error", [SourceUnreachable, SourceRefused])
def test_what_a_broken_off_sync_left_is_done_by_the_next_call(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[SemilayerError],
) -> None:
    # given a source that is away for a moment, or says no
    lab = Lab.at(tmp_path, rows=20)
    sync(lab.project, "items")
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 7")

    def away(*_: object) -> None:
        raise error("It is away.")

    # when
    with monkeypatch.context() as patch:
        patch.setattr(Project, "bridge", away)
        with pytest.raises(error):
            sync(lab.project, "items")
    with lab.project.registry.read() as registry:
        assert jobs.recent(registry)[0].status is JobStatus.QUEUED

    # then
    assert sync(lab.project, "items").counts.embedded == 1
    assert lab.lens.status is LensStatus.READY


def test_a_sync_asks_before_it_deletes_much(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=400)
    sync(lab.project, "items")
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id > 100")

    with pytest.raises(GuardStopped):
        sync(lab.project, "items")
    assert sync(lab.project, "items", confirm_deletes=True).counts.deleted == 300


def test_a_sync_beside_another_run_of_the_lens_says_so_and_does_nothing(tmp_path: Path) -> None:
    # given a sweep that another process is at
    lab = Lab.at(tmp_path, rows=20)
    sync(lab.project, "items")
    other = lab.request(Mode.INCREMENTAL)
    with lab.project.registry.begin() as db:
        jobs.take(db, other.id, lease="theirs", run_id=None, now=lab.project.clock())

    assert sync(lab.project, "items").ended is RunEnd.TAKEN


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
def test_a_program_that_was_killed_keeps_no_later_one_from_its_work(
    tmp_path: Path, mode: Mode
) -> None:
    # given a job in whose middle the program died, and what it had claimed
    lab = Lab.at(tmp_path, rows=20)
    sync(lab.project, "items")
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 7")
    killed = request_job(lab.project, "items", mode)
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("7", Action.UPSERT)], now)
        jobs.take(db, killed.id, lease="dead", run_id=None, now=now)
        if mode is Mode.RECORDS:
            changes.claim(db, lab.lens.id, job_id=killed.id, limit=10, now=now)
    asked = request_job(lab.project, "items", mode)
    if mode is not Mode.RECORDS:
        assert run_job(lab.project, asked.id).ended is RunEnd.TAKEN  # it may still be at work

    # when some time later the next program does the same, and what callers named
    later = replace(lab.project, clock=lambda: now + SILENCE + timedelta(seconds=1))
    again = run_job(later, asked.id)
    run_job(later, request_job(later, "items", Mode.RECORDS).id)

    # then all is done, and no job is left
    assert again.ended is RunEnd.COMPLETED
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        assert changes.buffered(db, lab.lens.id) == 0
        assert not jobs.running(db, lab.lens.id)
        assert not jobs.queued(db, lab.lens.id)


def test_a_job_that_gets_on_between_kills_of_its_program_counts_no_failures(tmp_path: Path) -> None:
    # given a job whose program dies again and again, each time after a page
    lab = Lab.at(tmp_path, rows=20)
    sync(lab.project, "items")
    job = request_job(lab.project, "items", Mode.INCREMENTAL)
    now = lab.project.clock()
    for _ in range(4):
        with lab.project.registry.begin() as db:
            queue_lost(db, lab.lens.id, now)
            assert jobs.take(db, job.id, lease="dead", run_id=None, now=now)
            page_done(db, job.id, now)
        now += SILENCE + timedelta(seconds=1)

    # then its next failure is not taken for one of many
    with lab.project.registry.read() as db:
        assert jobs.get(db, job.id).attempt == 2


def test_the_job_of_a_dagster_run_is_left_to_dagster(tmp_path: Path) -> None:
    # given a run of Dagster's that fell silent: Dagster has to be told, too
    lab = Lab.at(tmp_path, rows=20)
    sync(lab.project, "items")
    other = lab.request(Mode.INCREMENTAL)
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        jobs.take(db, other.id, lease="theirs", run_id="a run", now=now)

    later = replace(lab.project, clock=lambda: now + SILENCE + timedelta(seconds=1))
    assert sync(later, "items").ended is RunEnd.TAKEN


def test_a_paused_lens_is_left_alone_and_a_wrong_name_gets_the_nearest(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=20)
    sync(lab.project, "items")
    lifecycle.pause(lab.project, ENV, "items")

    with pytest.raises(Refused, match="paused"):
        sync(lab.project, "items")
    with pytest.raises(NotFound, match="did you mean 'items'"):
        sync(lab.project, "itms")
    with pytest.raises(NotFound):
        sync(lab.project, "items", env="production")


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.INCREMENTAL, Mode.RECORDS, Mode.SMART_SYNC])
def test_a_job_of_any_mode_can_be_asked_for_and_run(tmp_path: Path, mode: Mode) -> None:
    # given a change that every mode sees
    lab = Lab.at(tmp_path, rows=20)
    sync(lab.project, "items")
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new', updated_at = '2030-01-01' WHERE id = 3")
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("3", Action.UPSERT)], lab.project.clock())

    # when it is asked for twice
    job = request_job(lab.project, "items", mode)
    assert request_job(lab.project, "items", mode).id == job.id
    outcome = run_job(lab.project, job.id)

    # then it is done once
    assert outcome.ended is RunEnd.COMPLETED
    assert job.mode is mode
    assert run_job(lab.project, job.id).ended is RunEnd.TAKEN


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.RECORDS, Mode.SMART_SYNC])
def test_what_needs_an_index_is_refused_before_there_is_one(tmp_path: Path, mode: Mode) -> None:
    lab = Lab.at(tmp_path, rows=20)

    with pytest.raises(Refused):
        request_job(lab.project, "items", mode)


def test_a_repair_is_refused_with_what_to_ask_for_instead(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=20)

    with pytest.raises(Refused, match="SMART_SYNC"):
        request_job(lab.project, "items", Mode.REPAIR)


@pytest.mark.parametrize(
    ("mode", "says"),
    [("smart-sync", r"'smart-sync' \(did you mean 'smart_sync'\?\)"), ("", "''"), (3, "3")],
)
def test_what_is_no_mode_is_refused_with_the_modes_there_are(
    tmp_path: Path, mode: Any, says: str
) -> None:
    lab = Lab.at(tmp_path, rows=1)

    with pytest.raises(ConfigError, match=f"There is no mode {says}") as refused:
        request_job(lab.project, "items", mode)

    assert refused.value.cure == "Modes: full, incremental, records, smart_sync."


def test_a_sync_imports_no_dagster(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=20)
    script = (
        "import sys; from semilayer_pipelines import Project, search, sync\n"
        "shop = Project.here(); sync(shop, 'items')\n"
        "print(len(search(shop, 'items', 'x', limit=5)), 'dagster' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=lab.folder,
        env=os.environ | as_environ(lab),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "5 False\n"
