"""The places of the run queue: when a run is asked to leave, and limits that are not ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster_shared.yaml_utils import load_yaml_from_path

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.orchestration import sensors
from semilayer_pipelines.orchestration.names import BY_JOB_ID, JOB_NAMES
from semilayer_pipelines.orchestration.places import OURS, missing_limits, place_is_wanted
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import job_row, launch
from tests.orchestration.ticks import tick

STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
KIND = ".dagster/semilayer-singleton"


@pytest.fixture
def two_places(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance whose queue has two places, and lets one run of a kind work."""
    one_of_a_kind = {"key": KIND, "limit": 1, "value": {"applyLimitPerUniqueValue": True}}
    runs = {"max_concurrent_runs": 2, "tag_concurrency_limits": [one_of_a_kind]}
    overrides = {"concurrency": {"runs": runs}}
    with instance_for_test(overrides=overrides, temp_dir=str(tmp_path)) as instance:
        yield instance


def runs(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, *kinds: str) -> None:
    for kind in kinds:
        create_run_for_test(instance, job_name="some", status=status, tags={KIND: kind})


def queued(instance: dg.DagsterInstance, *kinds: str) -> None:
    """Put runs into the queue."""
    location = RegisteredCodeLocationOrigin("some")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "some"), "some")
    for kind in kinds:
        create_run_for_test(
            instance,
            job_name="some",
            status=dg.DagsterRunStatus.QUEUED,
            tags={KIND: kind},
            remote_job_origin=origin,
        )


def test_nobody_is_asked_to_leave_while_nobody_waits(two_places: dg.DagsterInstance) -> None:
    runs(two_places, STARTED, "a", "b")

    assert not place_is_wanted(two_places)


def test_nobody_is_asked_to_leave_while_there_are_places(two_places: dg.DagsterInstance) -> None:
    runs(two_places, STARTED, "a")
    queued(two_places, "c")

    assert not place_is_wanted(two_places)


def test_a_place_is_wanted_by_who_lacks_nothing_else(two_places: dg.DagsterInstance) -> None:
    runs(two_places, STARTED, "a")
    runs(two_places, STARTING, "b")
    queued(two_places, "c")

    assert place_is_wanted(two_places)


def test_who_waits_for_a_run_of_the_same_kind_wants_no_place(
    two_places: dg.DagsterInstance,
) -> None:
    runs(two_places, STARTED, "a", "b")
    queued(two_places, "a", "b")

    assert not place_is_wanted(two_places)


def test_one_who_can_start_is_found_behind_others_who_cannot(
    two_places: dg.DagsterInstance,
) -> None:
    runs(two_places, STARTED, "a", "b")
    queued(two_places, "a", "b", "c")

    assert place_is_wanted(two_places)


def with_limits(folder: Path, *keys: str) -> Any:
    """An instance whose queue counts these tags."""
    limit = {"limit": 1, "value": {"applyLimitPerUniqueValue": True}}
    runs = {"tag_concurrency_limits": [{"key": key} | limit for key in keys]}
    return instance_for_test(overrides={"concurrency": {"runs": runs}}, temp_dir=str(folder))


OLD = ("semilayer/singleton", "semilayer/sweep", "semilayer/walk")


def test_limits_of_an_older_version_are_told_with_the_file_to_copy_them_from(
    make_lab: MakeLab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    lab = make_lab(1)
    folder = tmp_path / "dagster"
    folder.mkdir()
    sensors._warn_once.cache_clear()

    # when the sensor looks twice
    with with_limits(folder, *OLD) as instance:
        tick(lab, instance)
        tick(lab, instance)

    # then it is told once
    [told] = [one.message for one in caplog.records if "no limit on" in one.message]
    assert f"no limit on {KIND}, .dagster/semilayer-sweep, .dagster/semilayer-walk:" in told
    assert f"Copy `concurrency` from {OURS} " in told


def test_the_limits_that_a_project_starts_with_lack_nothing(tmp_path: Path) -> None:
    ours = load_yaml_from_path(str(OURS))

    assert isinstance(ours, dict)
    overrides = {"concurrency": ours["concurrency"]}
    with instance_for_test(overrides=overrides, temp_dir=str(tmp_path)) as instance:
        assert missing_limits(instance) is None


def test_without_the_limits_the_registry_keeps_apart_what_may_not_run_together(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    # given a lens that a smart sync is at, under a queue that counts other tags
    lab = make_lab(5)
    lab.full()
    first, second = lab.request(Mode.SMART_SYNC), lab.request(Mode.INCREMENTAL)
    registry, now = lab.project.registry, lab.project.clock()
    folder = tmp_path / "dagster"
    folder.mkdir()
    with registry.begin() as db:
        assert jobs.take(db, first.id, lease="held", run_id=None, now=now)

    # when runs of both start beside it
    with with_limits(folder, *OLD) as instance:
        beside = [
            launch(lab, instance, JOB_NAMES[job.mode], lens=BY_JOB_ID, job_id=job.id)
            for job in (first, second)
        ]

        # then both end, and neither did anything
        assert all(run.success for run in beside)
        assert job_row(lab, first.id).lease == "held"
        assert job_row(lab, second.id).status is JobStatus.QUEUED

        # and when the first is over, the second is done
        with registry.begin() as db:
            assert jobs.finish(
                db,
                first.id,
                lease="held",
                status=JobStatus.COMPLETED,
                counts=Counts(),
                now=now,
            )
        launch(lab, instance, JOB_NAMES[second.mode], lens=BY_JOB_ID, job_id=second.id)
        assert job_row(lab, second.id).status is JobStatus.COMPLETED
