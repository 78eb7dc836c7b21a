from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external import RemoteRepository, RemoteSchedule
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.remote_representation.handle import RepositoryHandle
from dagster._utils.schedules import cron_string_iterator

from semilayer_pipelines.config.intervals import SYNC_INTERVALS
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.patch import change_lens
from semilayer_pipelines.errors import ConfigError, SemilayerError, SourceRefused
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.orchestration.names import LOCATION, RESOURCE
from semilayer_pipelines.orchestration.run_requests import run_request
from semilayer_pipelines.orchestration.schedules import CRON, make_due_jobs, spread
from semilayer_pipelines.queries.alerts import alerts_of, standing_of
from semilayer_pipelines.queries.cadence import next_tick
from semilayer_pipelines.queries.checks import Check, check_lens
from semilayer_pipelines.queries.daemon import Daemon
from semilayer_pipelines.queries.state import read_lens
from semilayer_pipelines.registry import environments, jobs, tables
from semilayer_pipelines.registry.jobs import RUNS_AHEAD, Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.registry.given import lens_config


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab.at(tmp_path, rows=20, syncInterval="5m", smartSyncInterval="24h")


def queued(lab: Lab) -> list[Mode]:
    with lab.project.registry.read() as db:
        recent = jobs.recent(db, env=ENV)
    return [job.mode for job in recent if job.status is JobStatus.QUEUED]


def test_every_interval_that_a_lens_may_name_has_a_cadence() -> None:
    assert CRON.keys() == SYNC_INTERVALS.keys()


def test_every_interval_of_each_kind_has_one_schedule_from_the_start(lab: Lab) -> None:
    repository = build_definitions(lab.project).get_repository_def()

    schedules = {s.name: s.cron_schedule for s in repository.schedule_defs}

    assert schedules == {
        **{f"incremental_ingest_{interval}": cron for interval, cron in CRON.items()},
        **{f"smart_sync_{interval}": cron for interval, cron in CRON.items()},
        "lens_checks_hourly": "47 * * * *",
        "retention_hourly": "17 * * * *",
    }
    assert all(
        s.default_status is dg.DefaultScheduleStatus.RUNNING for s in repository.schedule_defs
    )


def test_a_tick_makes_one_job_for_a_lens_however_often_it_comes(lab: Lab) -> None:
    lab.full()

    told = [make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told for _ in range(2)]

    assert told == [
        "Queued: test/items.",
        "Nothing queued. Skipped: test/items (the last one still waits).",
    ]
    assert queued(lab) == [Mode.SMART_SYNC]


def test_another_interval_leaves_the_lens_alone(lab: Lab) -> None:
    lab.full()

    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "1h").told == "Nothing queued."


def test_a_lens_that_cannot_sync_is_passed_over_with_the_reason(lab: Lab) -> None:
    assert "test/items (paused)" in make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told

    lifecycle.resume(lab.project, ENV, "items")
    assert "test/items (no index yet)" in make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told

    lab.full()
    running = lab.request(Mode.INCREMENTAL)
    with lab.project.registry.begin() as db:
        jobs.take(db, running.id, lease="held", run_id=None, now=lab.project.clock())
    told = make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told
    assert "test/items (the last one is still running)" in told


def failed(lab: Lab, mode: Mode, error: SemilayerError) -> Job:
    """Have a job of a lens fail."""

    def fail(_: str) -> None:
        raise error

    job = lab.request(mode)
    with pytest.raises(type(error)):
        run_job(Meddled.of(lab.project, before=fail), job.id)
    return job


def test_what_failed_and_may_pass_is_no_reason_to_pass_a_lens_over(lab: Lab) -> None:
    # given a lens whose smart sync failed
    lab.full()
    failed(lab, Mode.SMART_SYNC, SourceRefused("The grant was revoked."))
    assert lab.lens.status is LensStatus.ERROR

    # then its own ticks say when it is tried again, and other kinds go on
    told = make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told
    assert re.search(r"items \(the last one failed and is tried again in \d+ s: The grant", told)
    assert make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told == "Queued: test/items."

    # and without a job that waits, the next tick makes one
    with lab.project.registry.begin() as db:
        [waiting] = [job for job in jobs.queued(db, lab.lens.id) if job.mode is Mode.SMART_SYNC]
        jobs.cancel(db, waiting.id, lab.project.clock())
    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told == "Queued: test/items."


def test_a_lens_that_needs_a_person_is_passed_over_with_the_reason(lab: Lab) -> None:
    lab.full()
    failed(lab, Mode.SMART_SYNC, ConfigError("${SHOP} is not set."))

    told = make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told

    assert told == "Nothing queued. Skipped: test/items (needs you: ${SHOP} is not set.)."


def test_a_cadence_of_a_new_table_waits_for_the_rebuild_that_the_table_needs(lab: Lab) -> None:
    # given a lens that is moved to a table with a tracked column of its own
    lab.full()
    with lab.source() as db:
        db.execute("CREATE TABLE goods AS SELECT id, name, category, price FROM items")
    fields = {"name": {"type": "text", "searchable": True}}
    lab.push(table="goods", primaryKey="id", fields=fields, smartSyncInterval="1h")

    # then nothing is walked by a configuration that the index does not have
    assert make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told == "Queued: test/items."
    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "1h").told == "Queued: test/items."


def test_the_spread_is_the_same_at_every_tick_and_within_half_the_interval(lab: Lab) -> None:
    assert spread(lab.lens, "24h") == spread(lab.lens, "24h")
    assert 0 <= spread(lab.lens, "5m").total_seconds() <= 150


def test_who_asks_for_a_minute_is_due_at_every_tick(lab: Lab) -> None:
    assert spread(lab.lens, "1m").total_seconds() == 0


def later(lab: Lab, hours: float = 1) -> None:
    """Let time go on: what was written to the source so far was written long ago."""
    lab.project = Meddled.of(lab.project, later=timedelta(hours=hours))


def test_a_lens_is_passed_over_while_nothing_was_written_to_its_source(lab: Lab) -> None:
    # given a file that was last written long before the lens was indexed
    def written(seconds: float) -> None:
        at = lab.project.clock().timestamp() + seconds
        for file in lab.folder.glob("source.db*"):
            os.utime(file, (at, at))

    later(lab)
    lab.full()
    lab.run(lab.request(Mode.SMART_SYNC))

    # when, then
    told = make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told
    assert "test/items (nothing was written to its source since the last one)" in told
    assert "nothing was written" in make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told

    # and a write, or one that may be as late as the clocks are apart, makes it due
    written(-10)
    assert make_due_jobs(lab.project, Mode.INCREMENTAL, "5m").told == "Queued: test/items."
    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told == "Queued: test/items."


def test_a_quiet_source_is_walked_where_something_is_left_to_be_done(lab: Lab) -> None:
    # given a file that nobody writes to, and a row that was set aside
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 5")
    later(lab)
    lab.full()

    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told == "Queued: test/items."


def test_a_source_that_was_restored_with_its_old_times_is_walked(lab: Lab) -> None:
    # given a copy of the source, and a lens that was indexed since
    copy = shutil.copy2(lab.database, lab.folder / "copy.db")
    os.utime(copy, (0, 0))
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 5")
    lab.full()

    # when the copy takes its place, as `cp -p` and `rsync -a` put one back
    os.replace(copy, lab.database)
    for beside in lab.folder.glob("source.db-*"):
        beside.unlink()

    # then
    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told == "Queued: test/items."


def test_an_index_gets_no_older_while_nothing_is_written_to_its_source(lab: Lab) -> None:
    # given a lens with a target, which was indexed when its source had rested for long
    lab.push(syncInterval="5m", smartSyncInterval="24h", freshness="2h")
    later(lab)
    lab.full(proves=True)

    # when two days later each of its schedules finds nothing to read
    later(lab, hours=48)
    began = lab.project.clock()
    late = read_lens(lab.project, "items").as_of
    for mode, interval in ((Mode.INCREMENTAL, "5m"), (Mode.SMART_SYNC, "24h")):
        assert "nothing was written" in make_due_jobs(lab.project, mode, interval).told

    # then the index is as of that moment, and nobody is told that it is behind
    state = read_lens(lab.project, "items")
    fresh = check_lens(lab.project, lab.lens, frozenset({Check.FRESH}), seed=0)[Check.FRESH]
    with lab.project.registry.read() as db:
        env = environments.get(db, ENV)
        heart = Daemon(began, timedelta(0))
        standing = standing_of(db, env, lab.project.clock(), within=True)
    wrong = alerts_of(replace(standing, daemon=heart), failed_rows=0)
    assert late is not None
    assert late < began - timedelta(hours=47)
    assert state.as_of is not None
    assert state.as_of >= began
    assert fresh.passed, fresh.told
    assert wrong.alerts == ()


def test_an_index_whose_walk_is_forgotten_is_as_old_as_it_is(lab: Lab) -> None:
    # given a lens whose last walk was forgotten with its job
    lab.full()
    active = read_lens(lab.project, "items").active
    with lab.project.registry.begin() as db:
        db.execute(tables.jobs.delete())

    # then it is not taken for one without a walk, of which nobody says that it is behind
    assert active is not None
    assert read_lens(lab.project, "items").as_of == active.created_at


def test_an_incremental_walk_does_not_stand_for_a_smart_sync(lab: Lab) -> None:
    # given a row that was deleted before an incremental walk, which cannot see it
    lab.full()
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 5")
    lab.run(lab.request(Mode.INCREMENTAL))

    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told == "Queued: test/items."


def as_the_ui_sees_it(lab: Lab, name: str) -> RemoteSchedule:
    repository = build_definitions(lab.project).get_repository_def()
    handle = RepositoryHandle.for_test(location_name=LOCATION, repository_name=repository.name)
    snapshot = RepositorySnap.from_def(repository)
    return RemoteRepository(snapshot, handle, auto_materialize_use_sensors=True).get_schedule(name)


def test_an_interval_that_is_changed_elsewhere_takes_effect_without_a_reload(lab: Lab) -> None:
    # given definitions that were loaded before
    names = {s.name for s in build_definitions(lab.project).get_repository_def().schedule_defs}
    lab.full()

    # when
    change_lens(lab.project, ENV, "items", {"smartSyncInterval": "1h"}, origin="api")

    # then the new one ticks and the old one leaves the lens alone
    assert "smart_sync_1h" in names
    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "24h").told == "Nothing queued."
    assert make_due_jobs(lab.project, Mode.SMART_SYNC, "1h").told == "Queued: test/items."


@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")
def test_a_schedule_that_was_switched_off_stays_off_across_pushes(
    lab: Lab, disk_instance: dg.DagsterInstance
) -> None:
    def is_on() -> bool:
        schedule = as_the_ui_sees_it(lab, "smart_sync_24h")
        origin, selector = schedule.get_remote_origin_id(), schedule.selector_id
        state = disk_instance.get_instigator_state(origin, selector)
        return schedule.get_current_instigator_state(state).is_running

    # given a schedule that is on by default, and that a person switches off
    assert is_on()
    schedule = as_the_ui_sees_it(lab, "smart_sync_24h")
    disk_instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
    assert not is_on()

    # when lenses are pushed with other cadences, and with this one again
    lab.push(syncInterval="1m")
    build_definitions(lab.project)
    lab.push(syncInterval="15m", smartSyncInterval="24h", shards=4)

    # then it is still off
    assert not is_on()


def test_two_hundred_lenses_do_not_start_together(lab: Lab) -> None:
    lenses = [replace(lab.lens, name=f"lens-{number}") for number in range(200)]

    waits = sorted(spread(lens, "24h").total_seconds() for lens in lenses)

    assert max(b - a for a, b in pairwise(waits)) < 12 * 3_600 / 20
    assert sum(wait < 600 for wait in waits) < 20


def ticked(lab: Lab, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Evaluate the schedule of the lens's interval once; return the runs that it requests."""
    [schedule] = [
        one
        for one in build_definitions(lab.project).get_repository_def().schedule_defs
        if one.name == "incremental_ingest_5m"
    ]
    context = dg.build_schedule_context(instance=instance, resources={RESOURCE: lab.project})
    return list(schedule.evaluate_tick(context).run_requests or [])


def test_a_tick_requests_the_runs_of_the_first_lenses_and_leaves_the_others_to_the_sensor(
    lab: Lab, disk_instance: dg.DagsterInstance
) -> None:
    # given five lenses that are due
    lab.push("a", "b", "c", "d", syncInterval="5m")
    for name in ("items", "a", "b", "c", "d"):
        Lab(lab.project, lab.folder, name=name).full()

    # when
    requested = ticked(lab, disk_instance)

    # then two are requested as the sensor would, and all are queued
    assert len(requested) == RUNS_AHEAD == 2
    assert queued(lab) == [Mode.INCREMENTAL] * 5
    with lab.project.registry.read() as db:
        at_once = [job for job in jobs.recent(db, env=ENV) if job.due_at <= job.created_at]
    assert {request.run_key for request in requested} == {
        run_request(job).run_key for job in at_once if job.mode is Mode.INCREMENTAL
    } - {None}
    assert ticked(lab, disk_instance) == []


@pytest.mark.parametrize("interval", CRON)
@pytest.mark.parametrize("passed", [0, 59, 3_599, 45_296])
def test_the_next_tick_that_is_told_is_the_one_that_comes(interval: str, passed: int) -> None:
    now = datetime(2026, 3, 29, tzinfo=UTC) + timedelta(seconds=passed)
    lens = lens_config(syncInterval=interval)
    ticks = cron_string_iterator(now.timestamp() + 1e-3, CRON[interval], "UTC")

    assert next_tick(lens, now) == next(tick for tick in ticks if tick > now)
    assert next_tick(lens_config(smartSyncInterval=interval), now) == next_tick(lens, now)
    assert next_tick(lens_config(), now) is None
