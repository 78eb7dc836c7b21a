"""Jobs whose process is gone."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import Fenced
from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.orchestration.names import job_tags
from semilayer_pipelines.orchestration.recovery import close_silent
from semilayer_pipelines.registry import changes, generations, jobs, shards
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.jobs.endings import MAX_ATTEMPTS
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import job_row
from tests.orchestration.ticks import requests
from tests.pages import page_done

STARTED = dg.DagsterRunStatus.STARTED


def silent(
    lab: Lab,
    instance: dg.DagsterInstance,
    job: Job,
    status: dg.DagsterRunStatus = STARTED,
) -> dg.DagsterRun:
    """Let a run have taken a queued job and died some time ago, unnoticed by Dagster."""
    run: dg.DagsterRun = create_run_for_test(
        instance, job_name="some", status=status, tags=job_tags(job)
    )
    died = lab.project.clock() - SILENCE - timedelta(seconds=1)
    with lab.project.registry.begin() as db:
        if job.mode is Mode.FULL:
            assert jobs.join(db, job.id, run_id=run.run_id, now=died)
        else:
            assert jobs.take(db, job.id, lease="dead", run_id=run.run_id, now=died)
    return run


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.status


@pytest.fixture
def synced(make_lab: MakeLab) -> tuple[Lab, Job]:
    """A published lens with a queued smart sync."""
    lab = make_lab(10)
    lab.full()
    return lab, lab.request(Mode.SMART_SYNC)


def test_a_silent_job_is_launched_again_and_its_run_closed(
    synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    lab, job = synced
    run = silent(lab, instance, job)

    (request,) = requests(lab, instance)

    assert request.tags[".dagster/semilayer-job"] == job.id
    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE
    row = job_row(lab, job.id)
    assert (row.status, row.attempt) == (JobStatus.QUEUED, 2)
    assert "lost" in (row.error or "")


def test_a_job_that_still_gives_signs_of_life_is_left_alone(
    synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    lab, job = synced
    run = silent(lab, instance, job)
    with lab.project.registry.begin() as db:
        now = lab.project.clock()
        assert jobs.heartbeat(db, job.id, lease="dead", counts=job.counts, now=now)

    assert not requests(lab, instance)

    assert job_row(lab, job.id).status is JobStatus.RUNNING
    assert status_of(instance, run) is STARTED


def test_the_third_time_it_is_tried_again_later_and_the_lens_says_so(
    synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    lab, job = synced

    for _ in range(MAX_ATTEMPTS):
        silent(lab, instance, job_row(lab, job.id))
        last = requests(lab, instance)

    assert not last
    assert job_row(lab, job.id).status is JobStatus.QUEUED
    assert lab.lens.status is LensStatus.ERROR
    assert "semilayer resume" in (lab.lens.cure or "")


def test_a_rebuild_that_gets_on_is_not_broken_however_often_its_machine_goes(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a rebuild whose run writes a page each time before its machine is taken away
    lab = make_lab(10)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    for _ in range(2 * MAX_ATTEMPTS):
        silent(lab, instance, job_row(lab, job.id))
        with lab.project.registry.begin() as db:
            page_done(db, job.id, lab.project.clock() - SILENCE)

        # then it is launched again at once, and the lens is well
        assert requests(lab, instance)
    assert job_row(lab, job.id).attempt == 2
    assert lab.lens.status is LensStatus.INDEXING


def test_what_a_lost_records_run_had_claimed_is_free_again(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a run that died with a claim on a change
    lab = make_lab(10)
    lab.full()
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("3", Action.UPSERT)], now)
    job = lab.request(Mode.RECORDS)
    silent(lab, instance, job)
    with lab.project.registry.begin() as db:
        assert changes.claim(db, lab.lens.id, job_id=job.id, limit=10, now=now)

    # when
    requests(lab, instance)

    # then another job could have it
    with lab.project.registry.begin() as db:
        assert changes.claim(db, lab.lens.id, job_id="other", limit=10, now=now)


def test_a_job_that_was_taken_anew_since_it_was_found_silent_keeps_its_claims_and_its_run(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a silent job, as one tick read it
    lab = make_lab(10)
    lab.full()
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("3", Action.UPSERT)], now)
    job = lab.request(Mode.RECORDS)
    silent(lab, instance, job)
    stale = job_row(lab, job.id)

    # when another tick closes it and a new run takes it before the first goes on
    requests(lab, instance)
    with lab.project.registry.begin() as db:
        assert jobs.take(db, stale.id, lease="new", run_id=None, now=now)
        changes.claim(db, lab.lens.id, job_id=stale.id, limit=10, now=now)
    tags = {".dagster/semilayer-job": stale.id}
    working = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags).run_id
    close_silent(instance, lab.project, stale)

    # then nothing is taken from it
    with lab.project.registry.begin() as db:
        assert changes.ack(db, stale.id, ["3"], now) == 1
    assert job_row(lab, stale.id).lease == "new"
    assert [run.status for run in instance.get_runs(dg.RunsFilter(run_ids=[working]))] == [
        dg.DagsterRunStatus.STARTED
    ]


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED], ids=str
)
def test_a_run_killed_while_a_person_cancelled_it_is_not_brought_back(
    status: dg.DagsterRunStatus, synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    lab, job = synced
    silent(lab, instance, job, status)

    assert not requests(lab, instance)

    assert job_row(lab, job.id).status is JobStatus.CANCELED


def test_shards_that_wait_in_the_queue_do_not_make_their_job_a_lost_one(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a rebuild with one shard filled long ago, the others waiting in Dagster's queue
    lab = make_lab(400, shards=4)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    lab.run(job, shard=0)
    waiting = create_run_for_test(
        instance, job_name="some", status=dg.DagsterRunStatus.NOT_STARTED, tags=job_tags(job, 1)
    )
    with lab.project.registry.begin() as db:
        jobs.beat(db, job.id, lab.project.clock() - timedelta(minutes=5))

    # when
    assert not requests(lab, instance)

    # then they still do
    assert job_row(lab, job.id).status is JobStatus.RUNNING
    assert status_of(instance, waiting) is dg.DagsterRunStatus.NOT_STARTED


def test_a_shard_whose_run_died_is_counted_and_launched_again(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a rebuild whose second shard was being filled when its process died
    lab = make_lab(400, shards=4)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    lab.run(job, shard=0)
    died = lab.project.clock() - timedelta(minutes=5)
    with lab.project.registry.begin() as db:
        building = generations.building(db, lab.lens.id)
        assert building
        shards.claim(
            db, building.id, number=1, lease="dead", run_id="dead", now=died, stale_before=died
        )
        jobs.beat(db, job.id, died)

    # when
    launched = requests(lab, instance)

    # then
    assert len(launched) == 3
    assert job_row(lab, job.id).attempt == 2


def test_a_run_that_was_only_slow_can_write_nothing_more(
    synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    # given a run that was taken for dead in the middle of its first page
    lab, job = synced
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other'")

    def seems_dead(_: object) -> None:
        with lab.project.registry.begin() as db:
            lease = jobs.get(db, job.id).lease
            assert lease
            past = lab.project.clock() - timedelta(minutes=5)
            jobs.heartbeat(db, job.id, lease=lease, counts=job.counts, now=past)
        requests(lab, instance)

    # when it goes on, then it is told, and the job is another's
    with pytest.raises(Fenced):
        lab.run(job, report=seems_dead)
    assert job_row(lab, job.id).status is JobStatus.QUEUED


def other_job(lab: Lab) -> Job:
    """Return a queued job of another lens than the one that a run is named after."""
    lab.push("others")
    other = Lab(lab.project, lab.folder, name="others")
    other.full()
    return other.request(Mode.SMART_SYNC)


def silent_in(
    lab: Lab, instance: dg.DagsterInstance, named: Job, job: Job, status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    """Let a run that was launched for `named` have died while it did `job`."""
    run: dg.DagsterRun = create_run_for_test(
        instance, job_name="some", status=status, tags=job_tags(named)
    )
    died = lab.project.clock() - SILENCE - timedelta(seconds=1)
    with lab.project.registry.begin() as db:
        assert jobs.take(db, job.id, lease="dead", run_id=run.run_id, now=died)
    return run


def test_a_job_that_died_in_another_ones_run_is_launched_again_and_that_run_closed(
    synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    lab, named = synced
    lab.run(named)
    job = other_job(lab)
    run = silent_in(lab, instance, named, job, STARTED)

    (request,) = requests(lab, instance)

    assert request.tags[".dagster/semilayer-job"] == job.id
    assert job_row(lab, job.id).attempt == 2
    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE


def test_who_cancelled_a_run_for_its_own_lens_did_not_mean_the_job_of_another(
    synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    lab, named = synced
    lab.run(named)
    job = other_job(lab)
    silent_in(lab, instance, named, job, dg.DagsterRunStatus.CANCELED)

    requests(lab, instance)

    assert job_row(lab, job.id).status is JobStatus.QUEUED


def test_a_run_that_lost_one_job_and_does_another_is_not_closed(
    synced: tuple[Lab, Job], instance: dg.DagsterInstance
) -> None:
    lab, named = synced
    job = other_job(lab)
    run = silent_in(lab, instance, named, job, STARTED)
    with lab.project.registry.begin() as db:
        now = lab.project.clock()
        assert jobs.take(db, named.id, lease="alive", run_id=run.run_id, now=now)

    requests(lab, instance)

    assert job_row(lab, job.id).status is JobStatus.QUEUED
    assert status_of(instance, run) is STARTED
