"""The sensor: every job that is due is launched, once, and nothing stops it from trying."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import event, update

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.orchestration.names import BY_JOB_ID, job_tags, run_key
from semilayer_pipelines.orchestration.sensors import LAUNCH_LOST
from semilayer_pipelines.queries.daemon import SILENT_AFTER, Daemon, daemon_of
from semilayer_pipelines.registry import jobs, lenses, tables
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import job_row, launch, materialise
from tests.orchestration.ticks import (
    more_lenses,
    requests,
    run_of,
    tick,
    waited,
)
from tests.registry.race import threads_at_once


def test_a_due_job_becomes_a_run_with_all_that_the_queue_and_the_run_need(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(10)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    (request,) = requests(lab, instance)

    assert request.job_name == "full_ingest"
    assert str(request.run_key).startswith(f"{job.id}:")
    config = {"lens": BY_JOB_ID, "job_id": job.id}
    assert request.run_config == {"ops": {"run_full_ingest": {"config": config}}}
    wanted = {
        ".dagster/semilayer-singleton": f"full:{ENV}:items",
        "semilayer/lens": f"{ENV}:items",
        "semilayer/mode": "full",
        ".dagster/semilayer-job": job.id,
    }
    assert wanted.items() <= dict(request.tags).items()
    assert ".dagster/semilayer-sweep" not in request.tags
    assert requests(lab, instance)[0].run_key == request.run_key


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.SMART_SYNC])
def test_sweeps_of_a_lens_exclude_each_other(
    mode: Mode, make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(10)
    lab.full()
    lab.request(mode)

    (request,) = requests(lab, instance)

    assert request.tags[".dagster/semilayer-sweep"] == f"{ENV}:items"


def test_a_full_ingest_is_launched_once_a_shard_and_later_only_for_those_left(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens of four shards
    lab = make_lab(400, shards=4)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    # when it is due, then there is a run a shard, each with a tag of its own
    first = requests(lab, instance)
    assert [r.tags[".dagster/semilayer-singleton"][-2:] for r in first] == [":0", ":1", ":2", ":3"]
    assert len({r.run_key for r in first}) == 4

    # and when it is due again after two were filled, only the others
    launch(lab, instance, "full_ingest", job_id=job.id, shard=0, tags=job_tags(job, 0))
    launch(lab, instance, "full_ingest", job_id=job.id, shard=2, tags=job_tags(job, 2))
    with lab.project.registry.begin() as db:
        jobs.requeue(db, job.id, lease=None, now=lab.project.clock())
    assert [
        r.run_config["ops"]["run_full_ingest"]["config"]["shard"] for r in requests(lab, instance)
    ] == [
        1,
        3,
    ]


def test_nothing_due_is_a_skip(make_lab: MakeLab, instance: dg.DagsterInstance) -> None:
    lab = make_lab(10)

    assert tick(lab, instance).skip_message == "No job is due."


def test_a_skip_costs_two_queries(make_lab: MakeLab, instance: dg.DagsterInstance) -> None:
    lab, asked = make_lab(10), []
    lab.full()
    tick(lab, instance)  # opens the registry
    engine = lab.project.registry.engine

    def count(*told: object) -> None:
        asked.append(told[2])

    event.listen(engine, "before_cursor_execute", count)
    try:
        tick(lab, instance)
    finally:
        event.remove(engine, "before_cursor_execute", count)

    assert len([one for one in asked if str(one).startswith("SELECT")]) == 2


def test_a_paused_lens_is_left_alone(make_lab: MakeLab, instance: dg.DagsterInstance) -> None:
    lab = make_lab(10)
    lifecycle.request_rebuild(lab.project, ENV, "items")
    lifecycle.pause(lab.project, ENV, "items")

    assert not requests(lab, instance)


def test_a_job_whose_run_waits_or_works_is_not_launched_twice(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a due job that has been in Dagster's queue for long
    lab = make_lab(10)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    waited(lab, job, 2 * LAUNCH_LOST)
    run_of(instance, requests(lab, instance)[0], dg.DagsterRunStatus.NOT_STARTED)

    # when, then
    assert not requests(lab, instance)


def test_a_lost_launch_is_made_again_under_another_name(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a launch that came to nothing, which Dagster will not make twice
    lab = make_lab(10)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    lost = requests(lab, instance)[0]
    run_of(instance, lost, dg.DagsterRunStatus.FAILURE)
    assert requests(lab, instance)[0].run_key == lost.run_key

    # when it has been due for too long
    waited(lab, job, LAUNCH_LOST + timedelta(seconds=1))
    again = requests(lab, instance)[0]

    # then
    assert again.run_key != lost.run_key
    assert again.tags[".dagster/semilayer-job"] == job.id
    assert requests(lab, instance)[0].run_key == again.run_key


def test_a_job_that_is_due_by_a_clock_that_was_wrong_is_launched_and_due_now(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a job that is due in a year, as the clock said once
    lab = make_lab(10)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    waited(lab, job, -timedelta(days=365))

    # when
    [launched] = requests(lab, instance)

    # then, so that a launch which comes to nothing is made again in time
    now_due = job_row(lab, job.id)
    assert now_due.due_at <= lab.project.clock()
    assert launched.run_key == run_key(now_due)


def test_a_run_that_a_person_took_out_of_the_queue_cancels_its_job(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given
    lab = make_lab(10)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    run_of(instance, requests(lab, instance)[0], dg.DagsterRunStatus.CANCELED)

    # when, then it is not launched again
    assert not requests(lab, instance)
    assert job_row(lab, job.id).status is JobStatus.CANCELED
    assert lab.lens.status is lenses.LensStatus.PAUSED


def test_a_registry_that_is_down_is_a_skip_and_no_failure(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    away = {"SEMILAYER_REGISTRY_URL": "postgresql://u:hunter2@127.0.0.1:1/gone"}

    said = str(tick(Lab.opened(tmp_path, away), instance).skip_message)

    assert "127.0.0.1" in said
    assert "hunter2" not in said


def test_one_lens_that_cannot_be_read_does_not_stop_the_others(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given two due jobs, and the older one's lens is broken in the registry
    lab = make_lab(10)
    more_lenses(lab, 1)
    lifecycle.request_rebuild(lab.project, ENV, "items")
    other = lifecycle.request_rebuild(lab.project, ENV, "lens_0")
    with lab.project.registry.begin() as db:
        broken = update(tables.lenses).where(tables.lenses.c.name == "items")
        db.execute(broken.values(config={"from": "another version"}))

    # when
    launched = requests(lab, instance)

    # then
    assert [r.tags[".dagster/semilayer-job"] for r in launched] == [other.id]


def test_a_repair_that_broke_off_is_launched_as_a_job(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a repair that waits for another attempt
    lab = make_lab(400, shards=2)
    lab.full()
    job = lab.request(Mode.REPAIR, shard=1)

    # when the sensor's request is carried out
    (request,) = requests(lab, instance)
    config = request.run_config["ops"]["run_repair"]["config"]
    assert launch(lab, instance, "repair", tags=request.tags, **config).success

    # then
    assert job_row(lab, job.id).status is JobStatus.COMPLETED
    assert job_row(lab, job.id).counts.read == 200


def test_what_the_ui_started_and_left_unfinished_is_finished_without_counting_as_a_failure(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a rebuild of which somebody materialised one shard, and nothing happened since
    lab = make_lab(400, shards=4)
    materialise(lab, instance, "s02")
    with lab.project.registry.begin() as db:
        (job,) = jobs.recent(db)
        jobs.beat(db, job.id, lab.project.clock() - timedelta(minutes=5))

    # when
    launched = requests(lab, instance)

    # then the other three are launched
    assert [r.run_config["ops"]["run_full_ingest"]["config"]["shard"] for r in launched] == [
        0,
        1,
        3,
    ]
    row = job_row(lab, job.id)
    assert (row.attempt, row.error) == (1, None)


def test_two_daemons_that_look_at_once_have_a_job_done_once(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance
) -> None:
    # given a job that two sensors see at the same moment
    lab = make_lab(30)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new' WHERE id <= 3")
    job = lifecycle.request_sync(lab.project, ENV, "items")
    daemons = [lab, Lab.opened(lab.folder, {})]
    asked = threads_at_once(lambda n: requests(daemons[n], disk_instance), 2)
    (first,), (second,) = asked
    assert first.run_key == second.run_key

    # when both launch it
    done = threads_at_once(
        lambda n: launch(daemons[n], disk_instance, "smart_sync", job_id=job.id, tags=first.tags),
        2,
    )

    # then one run did it, and the other had nothing to do
    assert all(result.success for result in done)
    after = job_row(lab, job.id)
    assert (after.status, after.attempt) == (JobStatus.COMPLETED, 1)
    assert (after.counts.read, after.counts.written) == (30, 3)
    assert lab.audit().clean


def test_a_tick_with_nothing_to_do_shows_that_the_daemon_is_at_work(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a project whose daemon never ran
    lab = make_lab(1)

    def daemon(later: timedelta = timedelta(0)) -> Daemon:
        with lab.project.registry.read() as db:
            return daemon_of(db, lab.project.clock() + later)

    assert daemon().silent
    assert "has not run yet" in daemon().told

    # when it ticks, then it is not silent until it has not ticked for a while
    tick(lab, instance)
    assert (daemon().silent, daemon().told, daemon().cure) == (False, "", "")
    assert daemon(SILENT_AFTER + timedelta(seconds=1)).silent
    assert "31 s ago" in daemon(timedelta(seconds=31)).told
