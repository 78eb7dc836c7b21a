"""Why nobody takes a job, as Dagster's records tell it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from semilayer_pipelines.orchestration.remote.diagnose import why_waiting
from tests.cli.project import Folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with a Dagster instance of its own."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    Folder(tmp_path).as_dagster_project()
    # Its paths are relative to the folder that Dagster is started in.
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def instance(root: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(root)) as made:
        yield made


def beat(instance: dg.DagsterInstance, seconds_ago: float) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, "SENSOR", "test"))


def test_a_folder_without_dagster_gets_the_general_answer(tmp_path: Path) -> None:
    assert "semilayer dev" in why_waiting(tmp_path)


def test_a_daemon_that_never_ran_is_told(root: Path) -> None:
    assert "No Dagster daemon is running" in why_waiting(root)


def test_a_daemon_that_stopped_is_told(root: Path, instance: dg.DagsterInstance) -> None:
    beat(instance, 600)

    assert "No Dagster daemon is running" in why_waiting(root)


def test_a_daemon_that_could_not_load_the_lenses_is_told(
    root: Path, instance: dg.DagsterInstance
) -> None:
    beat(instance, 3)

    assert "does not tick" in why_waiting(root)
    assert "could not load the lenses" in why_waiting(root)


def test_records_that_cannot_be_read_are_no_reason_to_fail(root: Path) -> None:
    (root / "dagster.yaml").write_text("storage: [\n")

    assert "semilayer dev" in why_waiting(root)


def test_the_queue_keeps_places_free_for_what_a_long_run_must_not_hold_up(
    instance: dg.DagsterInstance,
) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue

    limits = [
        (limit["key"], limit.get("value"), limit["limit"]) for limit in queue.tag_concurrency_limits
    ]
    unique = {"applyLimitPerUniqueValue": True}
    assert limits == [
        (".dagster/semilayer-singleton", unique, 1),
        (".dagster/semilayer-sweep", unique, 1),
        (".dagster/semilayer-walk", None, 8),
        (".dagster/semilayer-walk", unique, 4),
        ("semilayer/mode", "full", 6),
        ("dagster/backfill", unique, 4),
    ]
    assert queue.max_concurrent_runs == 10
    assert instance.run_monitoring_enabled
    assert not instance.telemetry_enabled
