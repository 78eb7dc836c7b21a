"""The state of a lens on its asset: red with the cure when it fails, green when it is mended."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.orchestration.names import HEALTHY
from semilayer_pipelines.orchestration.sensor_cursor import Cursor
from semilayer_pipelines.registry import jobs, lenses
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.jobs.endings import MAX_ATTEMPTS
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import SHARDS, launch, materialise
from tests.orchestration.ticks import more_lenses, tick

KEY = dg.AssetCheckKey(SHARDS, HEALTHY)


def told(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey = KEY
) -> list[dg.AssetCheckEvaluation]:
    """Return what was reported of a lens, the oldest first."""
    found = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    return [one.evaluation for one in found if one.evaluation][::-1]


def fail(lab: Lab, error: str = "The grant was revoked.", name: str = "items") -> None:
    """Put a lens in `error`, as a run of another process would."""
    with lab.project.registry.begin() as db:
        lens = lenses.get(db, ENV, name)
        lenses.set_failing(
            db,
            lens.id,
            error=error,
            cure="Grant it again.",
            needs_you=True,
            now=lab.project.clock(),
        )


def test_a_lens_that_fails_is_red_with_its_cure_and_green_again_when_it_is_mended(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens that was filled
    lab = make_lab(20)
    assert launch(lab, instance, "full_ingest").success
    assert [one.passed for one in told(instance)] == [True]

    # when its table is gone
    with lab.source() as db:
        db.execute("ALTER TABLE items RENAME TO gone")
    assert not launch(lab, instance, "smart_sync").success

    # then
    red = told(instance)[-1]
    assert (red.passed, red.severity) == (False, dg.AssetCheckSeverity.ERROR)
    lens = lab.lens
    assert lens.error
    assert lens.cure
    assert lens.error in (red.description or "")
    assert f"What to do: {lens.cure}" in (red.description or "")
    assert "failing since" in red.metadata

    # and when it is there again
    with lab.source() as db:
        db.execute("ALTER TABLE gone RENAME TO items")
    assert launch(lab, instance, "smart_sync").success
    assert [one.passed for one in told(instance)] == [True, False, True]


def test_the_same_failure_is_told_once(make_lab: MakeLab, instance: dg.DagsterInstance) -> None:
    lab = make_lab(20)
    launch(lab, instance, "full_ingest")
    with lab.source() as db:
        db.execute("ALTER TABLE items RENAME TO gone")

    for _ in range(3):
        assert not launch(lab, instance, "smart_sync").success

    assert [one.passed for one in told(instance)] == [True, False]


def test_a_materialisation_does_not_hide_what_was_told_before_it(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens that is well
    lab = make_lab(20)
    launch(lab, instance, "full_ingest")

    # when it is rebuilt
    launch(lab, instance, "full_ingest")

    # then what is told is of the new one: Dagster shows nothing that is of an earlier one
    [last] = instance.fetch_materializations(SHARDS, limit=1).records
    target = told(instance)[-1].target_materialization_data
    assert target is not None
    assert target.storage_id == last.storage_id


def test_the_sensor_tells_what_changed_without_a_run(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens that fails
    lab = make_lab(20)
    lab.full()
    fail(lab)

    # when the sensor ticks twice
    first = tick(lab, instance)
    second = tick(lab, instance, first.cursor)

    # then it is told once, and once more when a person pauses it
    assert [one.passed for one in told(instance)] == [False]
    assert "It needs you" in (told(instance)[0].description or "")
    lifecycle.pause(lab.project, ENV, "items")
    tick(lab, instance, second.cursor)
    assert [one.passed for one in told(instance)] == [False, True]
    assert told(instance)[-1].description == "It is paused."


def test_another_error_is_told_again(make_lab: MakeLab, instance: dg.DagsterInstance) -> None:
    lab = make_lab(20)
    lab.full()
    fail(lab)
    first = tick(lab, instance)

    fail(lab, "The disk is full.")
    tick(lab, instance, first.cursor)

    assert ["The disk is full." in (one.description or "") for one in told(instance)] == [
        False,
        True,
    ]


def test_a_lens_whose_process_is_lost_again_and_again_is_red(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a job whose last attempt fell silent
    lab = make_lab(20)
    lab.full()
    job = lab.request(Mode.SMART_SYNC)
    long_ago = lab.project.clock() - timedelta(minutes=10)
    with lab.project.registry.begin() as db:
        for _ in range(MAX_ATTEMPTS - 1):
            lease = jobs.take(db, job.id, lease="one", run_id=None, now=long_ago)
            assert lease
            jobs.retry(db, job.id, lease="one", due_at=long_ago, error="lost", now=long_ago)
        jobs.take(db, job.id, lease="last", run_id=None, now=long_ago)

    # when the sensor finds it
    tick(lab, instance)

    # then
    [red] = told(instance)
    assert not red.passed
    assert "The run's process was lost." in (red.description or "")


def test_a_lens_removed_since_stops_no_tick(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(20)
    lab.full()
    fail(lab)
    first = tick(lab, instance)
    with lab.project.registry.begin() as db:
        lenses.remove(db, lab.lens.id)

    assert tick(lab, instance, first.cursor).skip_message == "No job is due."
    assert [one.passed for one in told(instance)] == [False]


def test_many_lenses_that_fail_together_are_told_in_turns(
    make_lab: MakeLab, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given three lenses that fail, and ticks that tell two
    lab = make_lab(5)
    more_lenses(lab, 3)
    for n in range(3):
        with lab.project.registry.begin() as db:
            lens = lenses.get(db, ENV, f"lens_{n}")
            lenses.set_status(db, lens.id, lenses.LensStatus.READY, now=lab.project.clock())
        fail(lab, name=f"lens_{n}")
    monkeypatch.setattr("semilayer_pipelines.orchestration.health.MAX_TOLD", 2)

    # when
    first = tick(lab, instance)
    tick(lab, instance, first.cursor)

    # then
    assert len(Cursor.read(first.cursor).failing) == 2
    for n in range(3):
        key = dg.AssetCheckKey(dg.AssetKey([ENV, f"lens_{n}"]), HEALTHY)
        assert [one.passed for one in told(instance, key)] == [False]


@pytest.mark.parametrize("failing", [{}, {"dev/a-b": "0a1b2c3d", "prod/c_d": "ffffffff"}])
def test_a_cursor_reads_what_an_earlier_tick_left(failing: dict[str, str]) -> None:
    left = Cursor("Launched full of dev:a.", failing)

    assert Cursor.read(left.text) == left


@pytest.mark.parametrize("text", [None, "", "12345", '{"an": "older one"}', " In error: , #"])
def test_a_cursor_that_nobody_can_read_is_an_empty_one(text: str | None) -> None:
    assert Cursor.read(text).failing == {}


def test_a_partition_that_is_materialised_by_hand_mends_its_lens(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(20)
    lab.database.rename(lab.folder / "away.db")
    assert not materialise(lab, instance, "s00").success
    assert [one.passed for one in told(instance)] == [False]

    (lab.folder / "away.db").rename(lab.database)
    assert materialise(lab, instance, "s00").success

    assert [one.passed for one in told(instance)] == [False, True]
