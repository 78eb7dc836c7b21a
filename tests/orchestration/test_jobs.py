"""The project's jobs, launched by hand or by the sensor."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest import batched
from semilayer_pipelines.orchestration.names import BY_JOB_ID, job_tags
from semilayer_pipelines.registry import generations, shards
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.embedders.limited import limited
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import (
    PUBLISHED,
    SHARDS,
    all_jobs,
    failure_of,
    job_named,
    job_row,
    launch,
    materialised,
    numbers,
)


def test_a_lens_chosen_in_the_ui_gets_a_job_row_of_its_own(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens that nobody resumed
    lab = make_lab(300)

    # when
    assert launch(lab, instance, "full_ingest").success

    # then there is a job that says who asked for it, and the run's own numbers
    (job,) = all_jobs(lab)
    assert (job.mode, job.status, job.origin) == (Mode.FULL, JobStatus.COMPLETED, "dagster")
    assert lab.lens.status is LensStatus.READY
    assert lab.audit().clean
    assert numbers(materialised(instance, SHARDS)[0])["written"] == 300
    assert len(materialised(instance, PUBLISHED)) == 1


def test_a_run_takes_the_job_that_it_was_launched_for_and_a_second_launch_does_nothing(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a job, launched
    lab = make_lab(300)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    first = launch(lab, instance, "full_ingest", job_id=job.id, tags=job_tags(job))

    # when it is launched again
    second = launch(lab, instance, "full_ingest", job_id=job.id, tags=job_tags(job))

    # then both runs end well, and the second one did and claimed nothing
    assert first.success
    assert second.success
    assert job_row(lab, job.id).run_id == first.run_id
    assert [one.id for one in all_jobs(lab)] == [job.id]
    assert len(materialised(instance, SHARDS)) == 1


def test_a_run_that_waits_for_batches_ends_well_and_the_next_one_fills_the_index(
    make_lab: MakeLab,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(batched, "MIN_TEXTS", 50)
    with limited(has_batches=True) as endpoint:
        told = {"provider": "openai", "model": "m", "url": endpoint.url, "batch": True}
        lab = make_lab(100, embedding=told)

        assert launch(lab, instance, "full_ingest").success
        (job,) = all_jobs(lab)
        assert (job.status, job.run_id) == (JobStatus.QUEUED, None)
        assert not materialised(instance, SHARDS)

        endpoint.batches.do_all()
        tags = job_tags(job)
        assert launch(lab, instance, "full_ingest", job_id=job.id, tags=tags).success

    assert job_row(lab, job.id).status is JobStatus.COMPLETED
    assert numbers(materialised(instance, SHARDS)[0])["written"] == 100


@pytest.mark.parametrize("name", ["incremental_ingest", "records_ingest", "smart_sync"])
def test_every_mode_runs_against_an_index(
    name: str, make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(300)
    lab.full()

    assert launch(lab, instance, name).success

    job = all_jobs(lab)[-1]
    assert (job.mode, job.status) == (Mode(name.removesuffix("_ingest")), JobStatus.COMPLETED)


def test_a_shard_of_a_full_ingest_is_shown_as_materialised_only_when_it_is_filled(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a job that is over
    lab = make_lab(400, shards=4)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    launch(lab, instance, "full_ingest", job_id=job.id, shard=1, tags=job_tags(job, 1))
    lab.run(job)

    # when a late run comes for another shard
    assert launch(
        lab, instance, "full_ingest", job_id=job.id, shard=2, tags=job_tags(job, 2)
    ).success

    # then only what the first one filled is on record as its work
    assert [m.partition for m in materialised(instance, SHARDS)] == ["s01"]
    assert not materialised(instance, PUBLISHED)


def test_a_shard_that_another_run_holds_is_left_to_it(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a rebuild of which another run fills the first shard
    lab = make_lab(400, shards=4)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    lab.run(job, shard=3)
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        building = generations.building(db, lab.lens.id)
        assert building
        shards.claim(
            db, building.id, number=0, lease="other", run_id="other", now=now, stale_before=now
        )

    # when a second run is launched for it, then it ends well and claims nothing
    assert launch(
        lab, instance, "full_ingest", job_id=job.id, shard=0, tags=job_tags(job, 0)
    ).success
    assert not materialised(instance, SHARDS)


def test_a_repair_without_a_shard_says_what_to_launch_instead(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(10)

    result = launch(lab, instance, "repair")

    assert "smart_sync" in failure_of(result)
    assert not all_jobs(lab)


def test_a_guard_that_stopped_a_sync_says_how_to_confirm_and_the_run_can(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a source that lost most of its rows
    lab = make_lab(400)
    lab.full()
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id > 100")

    # when
    stopped = launch(lab, instance, "smart_sync")
    confirmed = launch(lab, instance, "smart_sync", confirm_deletes=True)

    # then
    assert "confirm" in failure_of(stopped)
    assert confirmed.success
    assert lab.audit().clean


def test_a_sync_tells_its_numbers_and_what_incremental_could_not_see_on_the_asset(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a row that moved its tracked column, one that did not, and one that was deleted
    lab = make_lab(50)
    lab.full()
    lab.run(lab.request(Mode.INCREMENTAL))
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'a', updated_at = '2024-08-01' WHERE id = 1")
        db.execute("UPDATE items SET name = 'b', updated_at = '2023-01-01' WHERE id = 2")
        db.execute("DELETE FROM items WHERE id = 3")

    # when
    launch(lab, instance, "smart_sync")

    # then
    (seen,) = instance.fetch_observations(SHARDS, limit=10).records
    assert seen.asset_observation is not None
    told = {name: value.value for name, value in seen.asset_observation.metadata.items()}
    assert (told["mode"], told["read"], told["written"]) == ("smart_sync", 49, 2)
    assert (told["missed_updates"], told["deleted"], told["unseen_by_incremental"]) == (1, 1, 2)


def test_a_sync_of_an_index_that_needs_a_rebuild_says_so_and_mixes_nothing(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a lens that was pushed with another dimension, and a row that changed since
    lab = make_lab(50)
    lab.full()
    lab.push(embedding={"provider": "hash", "dimensions": 8})
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 1")

    # when
    result = launch(lab, instance, "smart_sync")

    # then the row is in, under the model that the index was built with, and a person is told
    assert result.success
    assert lab.index.dimension == 384
    told = [record.message for record in instance.all_logs(result.run_id) if record.message]
    assert any("Rebuild it: semilayer resume --lens items" in line for line in told)


def test_a_lens_paused_before_its_run_began_stays_paused(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a job that was launched, and a person who paused the lens meanwhile
    lab = make_lab(300)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    lifecycle.pause(lab.project, ENV, "items")

    # when its run begins
    assert launch(lab, instance, "full_ingest", job_id=job.id, tags=job_tags(job)).success

    # then nothing was read, and the job waits for the lens to go on
    assert lab.lens.status is LensStatus.PAUSED
    row = job_row(lab, job.id)
    assert (row.status, row.attempt) == (JobStatus.QUEUED, 1)
    assert not materialised(instance, SHARDS)


def test_no_message_shows_a_password(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    # given a registry that refuses us
    secret = "hunter2"
    url = f"postgresql://somebody:{secret}@127.0.0.1:1/nothing"
    lab = Lab.opened(tmp_path, {"SEMILAYER_REGISTRY_URL": url})

    # when
    result = launch(lab, instance, "full_ingest", env="development", lens=BY_JOB_ID, job_id="some")

    # then
    assert "127.0.0.1" in failure_of(result)
    everything = "".join(str(event) for event in result.all_events)
    assert secret not in everything


def test_a_lens_that_was_pushed_later_can_be_launched_in_the_same_process(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given jobs that were made before there was the lens
    lab = make_lab(3)
    job_named(lab, "full_ingest")

    # when
    lab.push("later")
    run = launch(lab, instance, "full_ingest", lens="later")

    # then
    assert run.success
