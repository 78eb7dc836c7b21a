from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from semilayer_pipelines import lifecycle
from semilayer_pipelines.config.models import SYNC_INTERVALS
from semilayer_pipelines.orchestration.definitions import build_definitions
from semilayer_pipelines.orchestration.schedules import CRON, make_due_jobs, spread
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.lab import ENV, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab.at(tmp_path, rows=20, syncInterval="5m", smartSyncInterval="24h")


def queued(lab: Lab) -> list[Mode]:
    with lab.project.registry.read() as db:
        recent = jobs.recent(db, env=ENV)
    return [job.mode for job in recent if job.status is JobStatus.QUEUED]


def test_every_interval_that_a_lens_may_name_has_a_cadence() -> None:
    assert CRON.keys() == SYNC_INTERVALS.keys()


def test_each_distinct_cadence_and_kind_has_one_schedule(lab: Lab) -> None:
    repository = build_definitions(lab.project).get_repository_def()

    schedules = {s.name: s.cron_schedule for s in repository.schedule_defs}

    assert schedules == {
        "incremental_ingest_5m": "*/5 * * * *",
        "smart_sync_24h": "0 0 * * *",
        "lens_checks_hourly": "47 * * * *",
        "retention_hourly": "17 * * * *",
    }
    assert all(
        s.default_status is dg.DefaultScheduleStatus.RUNNING for s in repository.schedule_defs
    )


def test_a_tick_makes_one_job_for_a_lens_however_often_it_comes(lab: Lab) -> None:
    lab.full()

    told = [make_due_jobs(lab.project, Mode.SMART_SYNC, "24h") for _ in range(2)]

    assert told[0] == "Queued: test/items."
    assert queued(lab) == [Mode.SMART_SYNC]


def test_another_interval_leaves_the_lens_alone(lab: Lab) -> None:
    lab.full()

    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "1h") == "Nothing queued."


def test_a_lens_that_cannot_sync_is_passed_over_with_the_reason(lab: Lab) -> None:
    assert "test/items (paused)" in make_due_jobs(lab.project, Mode.INCREMENTAL, "5m")

    lifecycle.resume(lab.project, ENV, "items")
    assert "test/items (no index yet)" in make_due_jobs(lab.project, Mode.INCREMENTAL, "5m")

    lab.full()
    running = lab.request(Mode.INCREMENTAL)
    with lab.project.registry.begin() as db:
        jobs.take(db, running.id, lease="held", run_id=None, now=lab.project.clock())
    told = make_due_jobs(lab.project, Mode.INCREMENTAL, "5m")
    assert "test/items (the last one is still running)" in told


def test_the_spread_is_the_same_at_every_tick_and_within_half_the_interval(lab: Lab) -> None:
    assert spread(lab.lens, "24h") == spread(lab.lens, "24h")
    assert 0 <= spread(lab.lens, "5m").total_seconds() <= 150
