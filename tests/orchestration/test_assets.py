"""A lens's partitions, materialised by hand."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest.lens_watch import PAUSE_CHECK_SECONDS
from semilayer_pipelines.orchestration import dagster_run
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.orchestration.names import shard_names
from semilayer_pipelines.registry import generations, jobs, lenses, shards
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.gate import Gate
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import (
    PUBLISHED,
    SHARDS,
    all_jobs,
    failure_of,
    launch,
    materialise,
    materialised,
    numbers,
)
from tests.registry.race import threads_at_once


def _filled(make_lab: MakeLab, instance: dg.DagsterInstance, rows: int = 400) -> Lab:
    lab = make_lab(rows, shards=4)
    lab.full()
    return lab


def test_the_last_of_four_partitions_publishes_the_index(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens of four shards without an index
    lab = make_lab(400, shards=4)

    # when the partitions are materialised one by one
    for name in shard_names(4):
        assert not materialised(instance, PUBLISHED)
        assert materialise(lab, instance, name).success

    # then the index is complete, and published once
    assert lab.audit().clean
    assert len(materialised(instance, PUBLISHED)) == 1
    assert {m.partition for m in materialised(instance, SHARDS)} == set(shard_names(4))
    assert [job.status for job in all_jobs(lab)] == [JobStatus.COMPLETED]


def test_a_materialisation_tells_its_numbers_as_numbers(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(120)

    materialise(lab, instance, "s00")

    told = numbers(materialised(instance, SHARDS)[0])
    wanted = {"read": 120, "Rows embedded": 120, "written": 120, "deleted": 0, "Rows set aside": 0}
    assert wanted.items() <= told.items()
    assert told["dagster/row_count"] == 120
    assert told["Rows per second"] > 0
    assert told["Seconds behind"] == 0
    assert told["seconds"] > 0
    assert numbers(materialised(instance, PUBLISHED)[0])["dagster/row_count"] == 120


def test_a_partition_of_a_published_lens_is_repaired_and_no_other(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a change and a deletion in the first shard, and as many in the last
    lab = _filled(make_lab, instance)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id IN (2, 399)")
        db.execute("DELETE FROM items WHERE id IN (1, 400)")

    # when the first is materialised
    assert materialise(lab, instance, "s00").success

    # then its half is in sync, and the other half is not touched
    verdict = lab.audit()
    assert (verdict.orphan, verdict.stale) == (1, 1)
    assert materialise(lab, instance, "s03").success
    assert lab.audit().clean
    told = numbers(materialised(instance, SHARDS)[-1])
    assert (told["read"], told["Rows embedded"], told["deleted"]) == (99, 1, 1)


@pytest.mark.parametrize(("rows", "built"), [(2, 4), (40, 1)], ids=["few rows", "not rebuilt"])
def test_a_partition_that_the_index_has_no_shard_for_is_in_sync(
    make_lab: MakeLab, instance: dg.DagsterInstance, rows: int, built: int
) -> None:
    # given an index with fewer shards than the lens has partitions, and a change
    lab = make_lab(rows, shards=built)
    lab.full()
    lab.push(shards=4)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other'")

    # when all partitions are materialised
    done = [materialise(lab, instance, name).success for name in shard_names(4)]

    # then nothing fails, and those without a shard say so
    assert all(done)
    assert lab.audit().clean
    assert lab.lens.error is None
    told = {one.partition: one.metadata for one in materialised(instance, SHARDS)}
    assert str(told["s03"]["keys"].value).startswith("none: the index has no such shard")
    assert told["s03"]["dagster/partition_row_count"].value == 0


def test_a_repair_says_once_that_it_waits_for_another_sync(
    make_lab: MakeLab, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a smart sync that is at work while the repair looks for its end many times
    monkeypatch.setattr(dagster_run, "SWEEP_POLL_SECONDS", 0.05)
    lab = _filled(make_lab, instance)
    sync = lab.request(Mode.SMART_SYNC)
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        assert jobs.take(db, sync.id, lease="other", run_id=None, now=now)

    def end() -> None:
        with lab.project.registry.begin() as db:
            assert jobs.requeue(db, sync.id, lease="other", now=now)

    ending = threading.Timer(1.0, end)
    ending.start()

    # when
    result = materialise(lab, instance, "s00")
    ending.join()

    # then
    assert result.success
    said = [event.user_message for event in instance.all_logs(result.run_id)]
    assert sum("Another sync of this lens" in one for one in said) == 1
    assert sum("repair of test/items" in one for one in said) == 1


def test_two_repairs_at_once_wait_for_each_other(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance
) -> None:
    # given a published lens of two shards, with something to do in each
    lab = make_lab(400, shards=2)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other'")

    # when both are materialised at the same moment, and however long they take
    both = threads_at_once(
        lambda number: materialise(lab, disk_instance, shard_names(2)[number]).success, 2
    )

    # then both succeed, one after the other
    assert both == [True, True]
    assert lab.audit().clean
    repairs = [job for job in all_jobs(lab) if job.mode is Mode.REPAIR]
    times = sorted((job.started_at, job.ended_at) for job in repairs if job.started_at)
    (_, first_ended), (second_started, _) = times
    assert first_ended is not None
    assert second_started >= first_ended


def test_a_run_from_the_ui_carries_the_tags_that_the_queue_goes_by(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = _filled(make_lab, instance)

    materialise(lab, instance, "s01")

    (run,) = instance.get_runs()
    job = all_jobs(lab)[-1]
    assert run.tags[".dagster/semilayer-job"] == job.id
    assert run.tags[".dagster/semilayer-singleton"] == f"rep:{ENV}:items:1"
    assert run.tags[".dagster/semilayer-sweep"] == f"{ENV}:items"


def test_a_failed_run_shows_our_words_and_no_traceback(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a source that is gone
    lab = make_lab(10)
    lab.database.unlink()

    # when
    result = materialise(lab, instance, "s00")

    # then
    assert not result.success
    words = failure_of(result)
    assert "main" in words
    assert "Traceback" not in words
    assert lab.lens.error
    assert lab.lens.error in words
    assert not materialised(instance, SHARDS)


def test_a_pause_during_the_run_leaves_the_partition_unmaterialised(
    make_lab: MakeLab,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a lens that is paused in the middle of its first page
    monkeypatch.chdir(tmp_path)  # where the gate is
    gate = Gate(tmp_path)
    lab = make_lab(2_000, fields=gate.fields)
    gate.close()

    def pause() -> None:
        gate.wait_until_reached()
        lifecycle.pause(lab.project, ENV, "items")
        time.sleep(PAUSE_CHECK_SECONDS)  # a run asks no more often
        gate.open()

    watcher = threading.Thread(target=pause)
    watcher.start()

    # when
    result = materialise(lab, instance, "s00")
    watcher.join()

    # then the partition is not done, says why, and goes on from there
    assert not result.success
    assert "paused" in failure_of(result)
    assert not materialised(instance, SHARDS)
    assert all_jobs(lab)[-1].status is JobStatus.QUEUED
    assert materialise(lab, instance, "s00").success
    assert numbers(materialised(instance, SHARDS)[0])["read"] < 2_000
    assert lab.audit().clean


def test_a_shard_that_another_run_is_at_is_not_shown_as_done(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a rebuild of which another run holds the first shard
    lab = make_lab(400, shards=4)
    materialise(lab, instance, "s03")
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        building = generations.building(db, lab.lens.id)
        assert building
        shards.claim(
            db, building.id, number=0, lease="other", run_id="other", now=now, stale_before=now
        )

    # when
    result = materialise(lab, instance, "s00")

    # then
    assert not result.success
    assert "another run is at it" in failure_of(result)
    assert [m.partition for m in materialised(instance, SHARDS)] == ["s03"]


def test_a_run_that_changes_the_index_in_use_says_so_on_it(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given
    lab = _filled(make_lab, instance)

    # when nothing changed, and then one row
    assert launch(lab, instance, "smart_sync").success
    before = materialised(instance, PUBLISHED)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 5")
    assert launch(lab, instance, "smart_sync").success

    # then
    assert before == []
    [one] = materialised(instance, PUBLISHED)
    assert numbers(one) == {"generation": 1, "dagster/row_count": 400}


def test_a_partition_tells_its_keys_and_rows(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens in four shards that a job fills
    lab = make_lab(400, shards=4)

    # when
    assert launch(lab, instance, "full_ingest").success
    by_job = {one.partition: one.metadata for one in materialised(instance, SHARDS)}
    for name in shard_names(4):
        assert materialise(lab, instance, name).success
    by_hand = {one.partition: one.metadata for one in materialised(instance, SHARDS)}

    # then
    keys = ["up to 100", "after 100, up to 200", "after 200, up to 300", "after 300"]
    for told in (by_job, by_hand):
        assert [told[name]["keys"].value for name in shard_names(4)] == keys
        assert {told[n]["dagster/partition_row_count"].value for n in shard_names(4)} == {100}


def test_a_lens_that_was_removed_meanwhile_fails_with_words(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(10)

    definitions = build_definitions(lab.project)
    with lab.project.registry.begin() as db:
        lenses.remove(db, lab.lens.id)

    result = definitions.resolve_job_def("full_ingest").execute_in_process(
        run_config={"ops": {"run_full_ingest": {"config": {"lens": "items", "env": ENV}}}},
        instance=instance,
        raise_on_error=False,
    )

    assert not result.success
    assert "There is no lens 'items'" in failure_of(result)
