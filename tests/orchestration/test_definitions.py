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
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, lenses
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


def built(project: Project) -> dg.Definitions:
    # Importing the module builds the definitions of the folder that the process is in.
    from semilayer_pipelines.orchestration.definitions import build_definitions

    return build_definitions(project)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a lens."""
    return Lab.opened(tmp_path, {}).project


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
    definitions = built(project)

    # then
    dg.Definitions.validate_loadable(definitions)
    assert keys(definitions) == {
        f"{env}/{lens}{part}"
        for env in ("development", "production")
        for lens in ("books", "papers")
        for part in ("", "/published")
    }
    repository = definitions.get_repository_def()
    named = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert named == JOBS
    assert [sensor.name for sensor in repository.sensor_defs] == ["due_jobs"]
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "incremental_ingest_5m",
        "lens_checks_hourly",
        "retention_hourly",
        "smart_sync_24h",
    }
    papers = definitions.resolve_assets_def(dg.AssetKey(["production", "papers"]))
    assert papers.partitions_def
    assert papers.partitions_def.get_partition_keys() == ["s00", "s01", "s02", "s03"]


def test_everything_that_runs_by_itself_is_switched_on(project: Project) -> None:
    push(project, "development", books=1)

    repository = built(project).get_repository_def()

    assert all(s.default_status.value == "RUNNING" for s in repository.sensor_defs)
    assert all(s.default_status.value == "RUNNING" for s in repository.schedule_defs)


def test_a_project_without_a_lens_loads(project: Project) -> None:
    definitions = built(project)

    dg.Definitions.validate_loadable(definitions)
    assert keys(definitions) == set()


def test_a_registry_that_is_down_leaves_the_last_known_lenses(
    project: Project,
) -> None:
    # given lenses that were shown once
    push(project, "development", books=1, papers=4)
    before = keys(built(project))

    # when the registry does not answer
    away = {"SEMILAYER_REGISTRY_URL": "postgresql://u:p@127.0.0.1:1/gone"}
    down = Lab.opened(project.settings.root, away).project

    # then the same lenses are shown
    assert keys(built(down)) == before

    # and without a file of last known lenses, none, and no error
    (down.settings.home / "catalogue.json").write_text('[{"env": "half a')
    dg.Definitions.validate_loadable(built(down))


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
    published = built(there).resolve_assets_def(dg.AssetKey(["development", "books", "published"]))
    assert published.specs_by_key[published.key].kinds == kinds


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
    definitions = built(project)
    dg.Definitions.validate_loadable(definitions)
    spent = time.process_time() - started

    # then: every run loads them, so they must not cost more than the run's own start
    assert len(keys(definitions)) == 400
    assert spent < 4.0


def test_loading_imports_no_model_no_store_and_no_driver(tmp_path: Path) -> None:
    heavy = ["torch", "transformers", "sentence_transformers", "lancedb", "weaviate", "pymysql"]
    heavy += ["psycopg", "psycopg2", "adbc_driver_sqlite", "semilayer_pipelines.ingest.run_job"]
    script = (
        "import json, sys\n"
        "import semilayer_pipelines.orchestration.definitions\n"
        f"print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"SEMILAYER_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(loaded.stdout.splitlines()[-1]) == []
