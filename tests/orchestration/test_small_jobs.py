"""A run that has done its own job does the small jobs of other lenses."""

from __future__ import annotations

import dagster as dg
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.orchestration.names import job_tags, run_key
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import failure_of, job_row, launch
from tests.orchestration.ticks import requests, run_of

JOB_NAMES = {Mode.RECORDS: "records_ingest", Mode.SMART_SYNC: "smart_sync"}


@pytest.fixture
def two(make_lab: MakeLab) -> tuple[Lab, Lab]:
    """Two indexed lenses over one table, `items` and `others`."""
    lab = make_lab(30)
    lab.push("others")
    other = Lab(lab.project, lab.folder, name="others")
    lab.full()
    other.full()
    return lab, other


def changed(lab: Lab, key: str) -> Job:
    """Tell a lens of a change; return the job that will apply it."""
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [(key, Action.UPSERT)], lab.project.clock())
    return lab.request(Mode.RECORDS)


def launched(lab: Lab, instance: dg.DagsterInstance, job: Job) -> dg.ExecuteInProcessResult:
    """Carry out what the sensor asks for, for one job."""
    name = JOB_NAMES[job.mode]
    return launch(lab, instance, name, job_id=job.id, lens=job.lens, tags=job_tags(job))


def tags_of(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    found = instance.get_run_by_id(run_id)
    assert found
    return dict(found.tags)


def test_each_job_keeps_its_own_row_and_names_the_run_that_did_it(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    # given a change of one lens and a sync of another, both due
    lab, other = two
    own, taken_up = changed(lab, "1"), changed(other, "2")

    # when a run is launched for the first
    run = launched(lab, instance, own)

    # then it did both, and each says so for itself
    assert run.success
    rows = [job_row(lab, one.id) for one in (own, taken_up)]
    assert [(row.lens, row.status) for row in rows] == [
        ("items", JobStatus.COMPLETED),
        ("others", JobStatus.COMPLETED),
    ]
    assert {row.run_id for row in rows} == {run.run_id}
    assert [row.counts.read for row in rows] == [1, 1]
    assert len({row.lease for row in rows}) == 2
    observed = [e.asset_observation_data.asset_observation for e in observations(run)]
    assert [one.asset_key.path for one in observed] == [[ENV, "items"], [ENV, "others"]]
    assert [one.metadata["semilayer_job"].value for one in observed] == [own.id, taken_up.id]


def observations(run: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [event for event in run.all_events if event.event_type_value == "ASSET_OBSERVATION"]


def test_a_run_is_found_by_its_own_job_while_the_limits_count_the_job_at_hand(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    lab, other = two
    own, last = lab.request(Mode.SMART_SYNC), other.request(Mode.SMART_SYNC)

    tags = tags_of(instance, launched(lab, instance, own).run_id)

    assert job_row(lab, last.id).status is JobStatus.COMPLETED
    found_by = {".dagster/semilayer-job": own.id, "semilayer/lens": f"{ENV}:items"}
    counted = {
        ".dagster/semilayer-singleton": last.singleton,
        ".dagster/semilayer-sweep": f"{ENV}:others",
        ".dagster/semilayer-walk": last.singleton,
    }
    assert (found_by | counted).items() <= tags.items()


def test_a_change_that_a_walk_takes_up_holds_up_no_walk(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    # given a sync, and a change of another lens
    lab, other = two
    own, change = lab.request(Mode.SMART_SYNC), changed(other, "1")

    # when the run of the sync applies the change
    tags = tags_of(instance, launched(lab, instance, own).run_id)

    # then the sweep of neither lens is held up by it
    assert job_row(lab, change.id).status is JobStatus.COMPLETED
    assert tags[".dagster/semilayer-sweep"] not in {f"{ENV}:items", f"{ENV}:others"}
    assert tags[".dagster/semilayer-singleton"] == change.singleton


def test_a_run_that_a_person_launched_does_what_they_asked_for_and_ends(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    lab, other = two
    waits = changed(other, "1")

    assert launch(lab, instance, "smart_sync").success

    assert job_row(lab, waits.id).status is JobStatus.QUEUED


def test_a_run_whose_own_job_another_run_did_is_not_wasted(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    # given a run that comes late to its job, and a job that is due
    lab, other = two
    own, due = changed(lab, "1"), changed(other, "2")
    lab.run(own)

    # when
    run = launched(lab, instance, own)

    # then it did what was due
    assert run.success
    assert job_row(lab, due.id).run_id == run.run_id


def test_a_job_that_fails_fails_the_run_and_no_other_job(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    # given a lens whose index somebody deleted, and a job of a healthy one
    lab, other = two
    lab.project.store(ENV).drop(other.index.name)
    own, sick = changed(lab, "1"), changed(other, "1")

    # when
    run = launched(lab, instance, own)

    # then the run says which lens it was
    assert not run.success
    assert "others" in failure_of(run)
    assert job_row(lab, own.id).status is JobStatus.COMPLETED
    assert job_row(lab, sick.id).error


def test_a_job_whose_run_a_person_took_out_of_the_queue_is_cancelled_not_taken_up(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    # given a queued run of another lens that was cancelled a moment ago
    lab, other = two
    unwanted = changed(other, "1")
    (request,) = requests(lab, instance)
    assert request.run_key == run_key(unwanted)
    run_of(instance, request, dg.DagsterRunStatus.CANCELED)

    # when a run looks for something to do
    assert launched(lab, instance, changed(lab, "2")).success

    # then
    assert job_row(lab, unwanted.id).status is JobStatus.CANCELED
    assert other.lens.status is LensStatus.READY


def test_a_rebuild_of_a_small_lens_shares_a_run_and_is_published(
    two: tuple[Lab, Lab], instance: dg.DagsterInstance
) -> None:
    lab, other = two
    first = lifecycle.request_rebuild(lab.project, ENV, "items")
    second = lifecycle.request_rebuild(lab.project, ENV, "others")

    tags = job_tags(first)
    run = launch(lab, instance, "full_ingest", job_id=first.id, tags=tags)

    assert run.success
    assert {job_row(lab, one.id).status for one in (first, second)} == {JobStatus.COMPLETED}
    assert job_row(lab, second.id).run_id == run.run_id
    assert other.audit().clean
    made = {
        tuple(key.path)
        for key in (e.asset_key for e in run.get_asset_materialization_events())
        if key
    }
    assert made >= {(ENV, "items"), (ENV, "others"), (ENV, "others", "others_published")}


def test_jobs_of_a_run_are_those_that_it_has_at_hand(two: tuple[Lab, Lab]) -> None:
    lab, _ = two
    job = lab.request(Mode.SMART_SYNC)
    with lab.project.registry.begin() as db:
        assert jobs.take(db, job.id, lease="mine", run_id="run", now=lab.project.clock())

        assert [one.id for one in jobs.of_run(db, "run")] == [job.id]
        assert jobs.of_run(db, "another run") == []
