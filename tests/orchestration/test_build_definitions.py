"""What Dagster shows, and what loading it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.orchestration.checks import CHECK_JOB
from semilayer_pipelines.orchestration.schedules import CRON
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, generations, lenses
from semilayer_pipelines.registry.lenses import Needs
from tests.lab import Lab, lens_config
from tests.workload import create_items

JOBS = {
    "full_ingest",
    "incremental_ingest",
    "lens_checks",
    "records_ingest",
    "repair",
    "retention",
    "smart_sync",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a lens."""
    return Lab.opened(tmp_path, {}).project


BOOKS = {"development/main/items", "development/books", "development/books/books_published"}


def keys(definitions: dg.Definitions) -> set[str]:
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string() for key in graph.get_all_asset_keys()}


def push(project: Project, env: str, **shards: int) -> None:
    """Push lenses of so many shards to an environment."""
    database = project.settings.root / "source.db"
    if not database.exists():
        create_items(database, 3)
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {"main": {"bridge": "sql", "connection": f"sqlite:///{database}"}},
            "lenses": {
                name: lens_config(shards=number, syncInterval="5m", smartSyncInterval="24h")
                for name, number in shards.items()
            },
        }
    )
    apply_push(project, plan_push(project, config, env))


def test_two_lenses_in_two_environments_are_all_there(project: Project) -> None:
    # given
    push(project, "development", books=1, papers=4)
    push(project, "production", books=1, papers=4)

    # when
    definitions = build_definitions(project)

    # then
    dg.Definitions.validate_loadable(definitions)
    assert keys(definitions) == {
        f"{env}/{name}"
        for env in ("development", "production")
        for name in (
            "main/items",
            "books",
            "books/books_published",
            "papers",
            "papers/papers_published",
        )
    }
    repository = definitions.get_repository_def()
    named = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert named == JOBS
    assert [sensor.name for sensor in repository.sensor_defs] == [
        "alerts",
        "due_jobs",
        "store_watch",
    ]
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "lens_checks_hourly",
        "retention_hourly",
        *(f"incremental_ingest_{interval}" for interval in CRON),
        *(f"smart_sync_{interval}" for interval in CRON),
    }
    papers = definitions.resolve_assets_def(dg.AssetKey(["production", "papers"]))
    assert papers.partitions_def
    assert papers.partitions_def.get_partition_keys() == ["s00", "s01", "s02", "s03"]


def test_everything_that_runs_by_itself_is_switched_on(project: Project) -> None:
    push(project, "development", books=1)

    repository = build_definitions(project).get_repository_def()

    assert all(s.default_status.value == "RUNNING" for s in repository.sensor_defs)
    assert all(s.default_status.value == "RUNNING" for s in repository.schedule_defs)


def test_a_project_without_a_lens_loads(project: Project) -> None:
    definitions = build_definitions(project)

    dg.Definitions.validate_loadable(definitions)
    assert keys(definitions) == set()


def test_a_registry_that_is_down_leaves_the_last_known_lenses(
    project: Project,
) -> None:
    # given lenses that were shown once
    push(project, "development", books=1, papers=4)
    before = keys(build_definitions(project))

    # when the registry does not answer
    away = {"SEMILAYER_REGISTRY_URL": "postgresql://u:p@127.0.0.1:1/gone"}
    down = Lab.opened(project.settings.root, away).project

    # then the same lenses are shown
    assert keys(build_definitions(down)) == before

    # and without a file of last known lenses, none, and no error
    (down.settings.home / "catalogue.json").write_text('[{"env": "half a')
    dg.Definitions.validate_loadable(build_definitions(down))


@pytest.mark.parametrize(
    ("store", "kinds"), [("lancedb", {"lancedb"}), ("weaviate", {"weaviate"}), ("no such!", set())]
)
def test_an_index_has_the_kind_of_the_store_that_holds_it(
    project: Project, store: str, kinds: set[str]
) -> None:
    # given
    push(project, "development", books=1)

    # when the project is opened with this store
    there = Lab.opened(project.settings.root, {"SEMILAYER_STORE": store}).project

    # then
    graph = build_definitions(there).resolve_asset_graph()
    for key in (["development", "books"], ["development", "books", "books_published"]):
        assert graph.get(dg.AssetKey(key)).kinds == kinds


class TheirManager(dg.IOManager):
    """An I/O manager that nothing of ours may use."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError("an output of ours was handed to it")

    def load_input(self, context: dg.InputContext) -> object:
        raise AssertionError("an input of ours was asked of it")


def theirs() -> dg.Definitions:
    """A person's own definitions: a report that is made when a new index is in use."""

    @dg.asset(deps=[dg.AssetKey(["development", "books", "books_published"])])
    def report() -> None:
        pass

    @dg.asset_check(asset=report)
    def their_check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    return dg.Definitions(
        assets=[report],
        asset_checks=[their_check],
        resources={"io_manager": TheirManager()},
        executor=dg.multiprocess_executor,
    )


def test_lenses_stand_beside_a_persons_own_definitions(project: Project) -> None:
    # given
    push(project, "development", books=1)

    # when, in either order
    both = dg.Definitions.merge(theirs(), build_definitions(project))
    dg.Definitions.merge(build_definitions(project), theirs())

    # then nothing of theirs is another one
    dg.Definitions.validate_loadable(both)
    assert keys(both) == {"report", *BOOKS}
    assert both.executor is dg.multiprocess_executor
    assert set(both.resources or {}) == {"io_manager", "semilayer"}
    published = dg.AssetKey(["development", "books", "books_published"])
    assert dg.AssetKey("report") in both.resolve_asset_graph().get(published).child_keys


def test_a_lens_fills_its_index_under_a_persons_own_io_manager(
    project: Project, instance: dg.DagsterInstance
) -> None:
    # given
    push(project, "development", books=1)
    both = dg.Definitions.merge(theirs(), build_definitions(project))
    book = dg.AssetKey(["development", "books"])
    job = both.resolve_implicit_global_asset_job_def().get_subset(asset_selection={book})

    # when
    result = job.execute_in_process(instance=instance, partition_key="s00")

    # then
    assert result.success
    with project.registry.read() as db:
        active = generations.active(db, lenses.get(db, "development", "books").id)
    assert active is not None
    assert project.store("development").open(active.index_name).count() == 3


def test_the_hourly_checks_leave_a_persons_own_alone(
    project: Project, instance: dg.DagsterInstance
) -> None:
    push(project, "development", books=1)
    both = dg.Definitions.merge(theirs(), build_definitions(project))

    result = both.resolve_job_def(CHECK_JOB).execute_in_process(instance=instance)

    assert {one.asset_key for one in result.get_asset_check_evaluations()} == {
        dg.AssetKey(["development", "books"])
    }


def test_without_a_project_it_is_the_one_of_the_process(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a folder with lenses, and one without a project
    push(project, "development", books=1)
    empty = tmp_path / "empty"
    empty.mkdir()

    # when, then
    monkeypatch.chdir(project.settings.root)
    assert keys(build_definitions()) == BOOKS
    monkeypatch.chdir(empty)
    with pytest.raises(ConfigError, match="There is no"):
        build_definitions()
    assert list(empty.iterdir()) == []


def test_loading_tells_a_person_nothing_that_nobody_can_act_on(tmp_path: Path) -> None:
    script = "from semilayer_pipelines.orchestration.definitions import defs\n"
    script += "defs.get_repository_def(); print(defs.executor.name)"

    loaded = in_a_process(script, tmp_path)

    assert (loaded.stdout, loaded.stderr) == ("in_process\n", "")


def test_two_hundred_lenses_load_quickly(project: Project) -> None:
    # given
    now = project.clock()
    with project.registry.begin() as db:
        env_id = environments.ensure(db, "development", now).id
        for n in range(200):
            config = lens_config(shards=16 if n % 10 == 0 else 1, syncInterval="5m")
            lenses.register(
                db, env_id, f"lens_{n}", config, needs=Needs.NOTHING, origin="test", now=now
            )

    # when
    started = time.process_time()
    definitions = build_definitions(project)
    dg.Definitions.validate_loadable(definitions)
    spent = time.process_time() - started

    # then: every run loads them, so they must not cost more than the run's own start
    assert len(keys(definitions)) == 2 * 200 + 1
    assert spent < 4.0


def test_loading_imports_no_model_no_store_and_no_driver(tmp_path: Path) -> None:
    heavy = ["torch", "transformers", "sentence_transformers", "lancedb", "weaviate", "pymysql"]
    heavy += [
        "polars",
        "psycopg",
        "psycopg2",
        "adbc_driver_sqlite",
        "semilayer_pipelines.ingest.run_job",
    ]
    script = (
        "import json, sys\n"
        "import semilayer_pipelines.orchestration.definitions\n"
        f"print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    )

    loaded = in_a_process(script, tmp_path)

    assert json.loads(loaded.stdout.splitlines()[-1]) == []


def in_a_process(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in the folder of a project without lenses."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | {"SEMILAYER_ROOT": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )


def test_names_that_clash_in_the_registry_take_no_other_lens_down(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    # given: what a version without the check of names may have registered
    push(project, "test", orders=1, fine=1)
    with project.registry.begin() as db:
        known = lenses.get(db, "test", "orders")
        for name in ("fi-ne", "fi_ne", "docs\n"):
            lenses.register(
                db,
                known.env_id,
                name,
                known.config,
                needs=Needs.NOTHING,
                origin=lenses.PUSH,
                now=project.clock(),
            )

    # when
    definitions = build_definitions(project)

    # then
    definitions.resolve_all_job_defs()
    assert {"test/fi-ne", "test/fine", "test/orders"} <= keys(definitions)
    assert not {"test/fi_ne", "test/docs\n"} & keys(definitions)
    assert {"incremental_ingest_5m", "smart_sync_24h"} <= {
        schedule.name for schedule in definitions.schedules or ()
    }
    for name in ("'fi_ne'", "'docs\\n'"):
        assert f"{name} " in caplog.text
