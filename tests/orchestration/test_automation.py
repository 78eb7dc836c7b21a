"""When a person's own asset is done, its lens is synced: by Dagster's conditions, as our jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.events import DagsterEvent, DagsterEventType

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.orchestration import automation
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.orchestration.names import JOB_NAMES, RESOURCE
from semilayer_pipelines.registry import jobs, lenses
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import Needs
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import PUBLISHED, SHARDS, all_jobs, launch, materialised
from tests.orchestration.ticks import requests
from tests.workload import FIELDS


@dg.asset
def model() -> None:
    """A person's own table, as a dbt model is."""


@dg.asset
def load() -> None:
    """Another one."""


@dataclass
class Deployment:
    """A person's definitions with the lenses in them, and the daemon's memory of the sensor."""

    lab: Lab
    instance: dg.DagsterInstance
    definitions: dg.Definitions = field(init=False)
    cursor: str | None = None

    def __post_init__(self) -> None:
        theirs = dg.Definitions(assets=[model, load])
        self.definitions = dg.Definitions.merge(theirs, build_definitions(self.lab.project))

    def tick(self, project: Any = None) -> SensorExecutionData:
        """Evaluate the conditions once, as the daemon does."""
        repository = self.definitions.get_repository_def()
        found = repository.get_sensor_def("lens_automation").evaluate_tick(
            dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursor,
                repository_def=repository,
                resources={RESOURCE: project or self.lab.project},
            )
        )
        self.cursor = found.cursor
        return found

    def make(self, *assets: dg.AssetsDefinition) -> None:
        assert dg.materialize(list(assets), instance=self.instance).success

    def begin(self, asset: dg.AssetsDefinition) -> dg.DagsterRun:
        """Put a run on record that makes the asset, and is at it."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        run = self.instance.create_run_for_job(
            job.get_subset(asset_selection={asset.key}), asset_selection=frozenset({asset.key})
        )
        started = DagsterEvent(DagsterEventType.RUN_START.value, run.job_name)
        self.instance.report_dagster_event(started, run_id=run.run_id)
        return run

    def asked(self) -> list[Job]:
        """Return the jobs that the conditions asked for and that wait."""
        return [
            job
            for job in all_jobs(self.lab)
            if job.origin == automation.ORIGIN and job.status is JobStatus.QUEUED
        ]

    def work(self) -> list[str]:
        """Let the sensor launch what is due; return the names of the jobs that ran."""
        ran = []
        for request in requests(self.lab, self.instance):
            assert request.job_name
            config = request.run_config["ops"][f"run_{request.job_name}"]["config"]
            done = launch(
                self.lab, self.instance, request.job_name, tags=dict(request.tags), **config
            )
            assert done.success
            ran.append(request.job_name)
        return ran


@pytest.fixture
def deployed(make_lab: MakeLab, disk_instance: dg.DagsterInstance) -> Deployment:
    """A lens of four shards that follows `model`, with its index filled, and a first tick."""
    lab = make_lab(5, shards=4, deps="model", automation="eager", freshness="10m")
    lab.full()
    there = Deployment(lab, disk_instance)
    there.tick()
    return there


def test_when_a_persons_asset_is_done_its_lens_is_synced_and_finds_the_change(
    deployed: Deployment,
) -> None:
    # given a model that changed the table
    with deployed.lab.source() as db:
        db.execute(
            "INSERT INTO items SELECT 6, name, description, price, category, datetime('now')"
            " FROM items LIMIT 1"
        )
    before = deployed.lab.index.count()
    deployed.make(model)

    # when Dagster evaluates the conditions, and the due jobs are launched
    found = deployed.tick()
    ran = deployed.work()

    # then one run has done it, and not one for each shard
    assert found.skip_message == "Queued: test/items."
    assert {key for e in found.automation_condition_evaluations for key in [e.key]} == {SHARDS}
    assert ran == ["incremental_ingest"]
    assert deployed.lab.index.count() == before + 1

    # and Dagster takes the lens for materialised, all of it, and asks for nothing more
    assert len(materialised(deployed.instance, SHARDS)) == 4
    assert len(materialised(deployed.instance, PUBLISHED)) == 1
    assert deployed.tick().skip_message == "Sensor function returned an empty result"
    assert not deployed.asked()


def test_a_sync_that_finds_nothing_is_one_materialisation_of_each_as_well(
    deployed: Deployment,
) -> None:
    # given a model that was made again and left the table as it was
    for times in (1, 2):
        deployed.make(model)
        deployed.tick()

        # when
        assert deployed.work() == ["incremental_ingest"]

        # then
        assert len(materialised(deployed.instance, SHARDS)) == 4 * times
        assert len(materialised(deployed.instance, PUBLISHED)) == times


def test_eager_waits_for_a_dep_that_is_being_made(deployed: Deployment) -> None:
    # given a model that is done, and begun again
    deployed.make(model)
    at_work = deployed.begin(model)

    # when
    during = deployed.tick()
    deployed.instance.report_run_failed(at_work)
    after = deployed.tick()

    # then what it had made by then is synced once nothing is at work, even where that failed
    assert during.skip_message == "Sensor function returned an empty result"
    assert after.skip_message == "Queued: test/items."


def test_a_lens_without_a_tracked_column_is_compared_row_by_row(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance
) -> None:
    # given a table in which nothing tells what changed
    lab = make_lab(5, deps="model", automation="eager")
    with lab.source() as db:
        db.execute("CREATE TABLE plain AS SELECT id, name, description, price, category FROM items")
        db.execute("CREATE UNIQUE INDEX by_id ON plain (id)")
    fields = {name: field for name, field in FIELDS.items() if name != "updated_at"}
    lab.push(table="plain", deps="model", automation="eager", primaryKey="id", fields=fields)
    lab.full()
    there = Deployment(lab, disk_instance)
    there.tick()

    # when
    with lab.source() as db:
        db.execute("DELETE FROM plain WHERE id = 1")
    there.make(model)
    there.tick()

    # then
    assert there.work() == [JOB_NAMES[Mode.SMART_SYNC]]
    assert lab.index.count() == 4


def test_on_cron_waits_for_its_hour_and_for_every_dep(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance
) -> None:
    lab = make_lab(3, deps=["model", "load"], automation="on_cron(0 0 1 1 *)")
    lab.full()
    there = Deployment(lab, disk_instance)

    def asked(at: datetime, cursor: Any) -> Any:
        return dg.evaluate_automation_conditions(
            defs=there.definitions,
            instance=disk_instance,
            asset_selection=dg.AssetSelection.assets(SHARDS),
            evaluation_time=at,
            cursor=cursor,
        )

    # given the turn of a year, long ago enough for what is made now to be after it
    first = asked(datetime.now(UTC) - timedelta(days=366), None)

    # when one of two is made, and the other later
    there.make(model)
    half = asked(datetime.now(UTC), first.cursor)
    there.make(load)
    whole = asked(datetime.now(UTC), half.cursor)
    again = asked(datetime.now(UTC), whole.cursor)

    # then
    assert [found.total_requested for found in (first, half, whole, again)] == [0, 0, 1, 0]


def test_while_a_sync_runs_another_one_is_queued_behind_it(deployed: Deployment) -> None:
    # given a sync that may have read past the change
    running = deployed.lab.request(Mode.INCREMENTAL)
    with deployed.lab.project.registry.begin() as db:
        assert jobs.take(
            db, running.id, lease="held", run_id=None, now=deployed.lab.project.clock()
        )
    deployed.make(model)

    # when
    deployed.tick()
    deployed.make(model)
    again = deployed.tick()

    # then one waits, and only one
    assert [job.mode for job in deployed.asked()] == [Mode.INCREMENTAL]
    assert again.skip_message == (
        "Passed over: test/items (a sync that will see the change waits already)."
    )


def test_what_a_paused_lens_missed_is_done_when_it_goes_on(deployed: Deployment) -> None:
    lifecycle.pause(deployed.lab.project, ENV, "items")
    deployed.make(model)

    deployed.tick()
    assert deployed.work() == []
    lifecycle.resume(deployed.lab.project, ENV, "items")

    assert deployed.work() == ["incremental_ingest"]


def test_a_lens_without_an_index_is_left_to_its_first_ingest(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance
) -> None:
    there = Deployment(make_lab(3, deps="model", automation="eager"), disk_instance)
    there.tick()
    there.make(model)

    assert there.tick().skip_message == "Passed over: test/items (no index yet)."


def test_a_registry_that_is_away_loses_no_request(deployed: Deployment) -> None:
    # given
    deployed.make(model)
    away = {"SEMILAYER_REGISTRY_URL": "postgresql://u:p@127.0.0.1:1/gone"}
    down = Lab.opened(deployed.lab.folder, away).project

    # when
    missed = deployed.tick(down)
    found = deployed.tick()

    # then
    assert missed.skip_message
    assert "127.0.0.1" in missed.skip_message
    assert found.skip_message == "Queued: test/items."


def test_an_update_right_after_a_request_is_not_forgotten(deployed: Deployment) -> None:
    # given a sync that was asked for and done, and a model that is made again before the next look
    deployed.make(model)
    deployed.tick()
    assert deployed.work() == ["incremental_ingest"]
    deployed.make(model)

    # when, then
    assert deployed.tick().skip_message == "Queued: test/items."
    assert deployed.work() == ["incremental_ingest"]
    assert deployed.tick().skip_message == "Sensor function returned an empty result"


def test_many_lenses_share_sensors_that_keep_theirs() -> None:
    eager = dg.AutomationCondition.eager()
    assets = [
        dg.AssetsDefinition(specs=[dg.AssetSpec(f"lens_{n}", automation_condition=eager)])
        for n in range(900)
    ]

    spread = automation.automation_sensors(assets)

    assert automation.automation_sensors([]) == []
    assert [one.name for one in spread] == [
        "lens_automation",
        "lens_automation_2",
        "lens_automation_3",
    ]


def test_lenses_that_are_made_by_each_other_take_no_other_lens_down(
    make_lab: MakeLab, caplog: pytest.LogCaptureFixture
) -> None:
    # given a lens that names itself, as an older version let it
    lab = make_lab(3)
    deps = ("test/items/items_published", "model")
    config = lab.lens.config.model_copy(update={"deps": deps, "automation": "eager"})
    with lab.project.registry.begin() as db:
        lenses.register(
            db,
            lab.lens.env_id,
            "items",
            config,
            needs=Needs.NOTHING,
            origin=lenses.PUSH,
            now=lab.project.clock(),
        )

    # when
    definitions = build_definitions(lab.project)

    # then
    dg.Definitions.validate_loadable(definitions)
    parents = definitions.resolve_asset_graph().get(SHARDS).parent_keys
    assert {key.to_user_string() for key in parents} == {"test/main/items", "model"}
    assert "'items' of 'test' is made by itself" in caplog.text
