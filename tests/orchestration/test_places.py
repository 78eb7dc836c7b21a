"""When a run that lingers is asked to leave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test, instance_for_test

from semilayer_pipelines.orchestration.places import place_is_wanted

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
