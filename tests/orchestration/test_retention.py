"""Old runs are forgotten with their events; what is young, or still at work, stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._core.test_utils import create_run_for_test

from semilayer_pipelines.ingest.retention import KEEP_RETIRED
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.orchestration.checks import CHECK_JOB
from semilayer_pipelines.orchestration.names import RESOURCE
from semilayer_pipelines.orchestration.retention import (
    RUNS_KEPT,
    SMALL_RUNS_KEPT,
    forget_runs,
    retention_job,
)
from tests.lab import ENV
from tests.meddling import Meddled
from tests.orchestration.conftest import MakeLab

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
SECOND = timedelta(seconds=1)


def run(
    instance: dg.DagsterInstance,
    job: str,
    status: dg.DagsterRunStatus = SUCCESS,
    location: str = "ours",
) -> str:
    tags = {REPOSITORY_LABEL_TAG: f"__repository__@{location}"}
    made: dg.DagsterRun = create_run_for_test(instance, job_name=job, status=status, tags=tags)
    return made.run_id


def left(instance: dg.DagsterInstance) -> set[str]:
    return {one.run_id for one in instance.get_runs()}


def in_(age: timedelta) -> datetime:
    """Return the time at which what is made now is so old."""
    return datetime.now(UTC) + age


def test_small_runs_that_went_well_are_kept_for_a_day_and_others_for_a_month(
    instance: dg.DagsterInstance,
) -> None:
    # given
    small = {run(instance, name) for name in ("records_ingest", "incremental_ingest", "retention")}
    failed = run(instance, "records_ingest", FAILURE)
    month = {run(instance, name) for name in ("smart_sync", "lens_checks")}
    filled = run(instance, "full_ingest")
    at_work = run(instance, "full_ingest", dg.DagsterRunStatus.STARTED)

    # when and then
    assert forget_runs(instance, in_(SMALL_RUNS_KEPT - 60 * SECOND)) == 0
    assert forget_runs(instance, in_(SMALL_RUNS_KEPT + SECOND)) == len(small)
    assert left(instance) == {failed, *month, filled, at_work}
    assert forget_runs(instance, in_(RUNS_KEPT + SECOND)) == 3
    assert left(instance) == {filled, at_work}


def test_the_runs_of_a_persons_own_jobs_are_left_alone(instance: dg.DagsterInstance) -> None:
    # given a failed job beside ours, and a job of another location that has the name of one of ours
    own = run(instance, "nightly_report", FAILURE)
    theirs = {run(instance, "retention", status, "theirs") for status in (SUCCESS, FAILURE)}
    run(instance, "retention")
    run(instance, "repair", FAILURE)

    # when
    at = in_(RUNS_KEPT + SECOND)
    forgotten = forget_runs(instance, at, location="__repository__@ours")

    # then
    assert forgotten == 2
    assert left(instance) == {own, *theirs}


@pytest.mark.parametrize("name", ["retention", CHECK_JOB])
def test_a_run_without_a_lease_gives_its_place_back_when_its_process_is_lost(
    make_lab: MakeLab, name: str
) -> None:
    # Dagster's run monitoring ends what is older than the tag says.
    job = build_definitions(make_lab(3).project).resolve_job_def(name)

    assert job.tags["dagster/max_runtime"] == "10800"


def test_the_events_of_a_forgotten_run_go_with_it(instance: dg.DagsterInstance) -> None:
    @dg.op
    def nothing() -> None:
        """Do nothing."""

    @dg.job(name="retention", executor_def=dg.in_process_executor)
    def job() -> None:
        nothing()

    done = job.execute_in_process(instance=instance)
    assert instance.all_logs(done.run_id)

    assert forget_runs(instance, in_(SMALL_RUNS_KEPT + SECOND)) == 1

    assert instance.all_logs(done.run_id) == []


def test_one_sweep_forgets_only_so_many_and_the_oldest_first(
    instance: dg.DagsterInstance,
) -> None:
    runs = [run(instance, "records_ingest") for _ in range(5)]
    at = in_(SMALL_RUNS_KEPT + SECOND)

    assert forget_runs(instance, at, limit=2) == 2
    assert left(instance) == set(runs[2:])
    assert forget_runs(instance, at, limit=2) == 2
    assert forget_runs(instance, at, limit=2) == 1


def test_the_hourly_job_tidies_the_project_that_it_is_given(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given an index that another one has replaced for longer than the grace period
    lab = make_lab(10)
    lab.full()
    retired = lab.index.name
    lab.full()
    later = Meddled.of(lab.project, later=KEEP_RETIRED + SECOND)

    # when
    done = retention_job.execute_in_process(instance=instance, resources={RESOURCE: later})

    # then it is gone, and the one in use is not
    assert done.success
    assert not lab.project.store(ENV).exists(retired)
    assert lab.index.count() == 10
