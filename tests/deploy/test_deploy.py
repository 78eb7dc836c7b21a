"""What lies in deploy/: as far as it can be held to the truth without an engine for containers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from ruamel.yaml import YAML
from sqlalchemy import make_url

from semilayer_pipelines.orchestration.retention import SMALL_RUNS_KEPT, forget_runs
from tests.orchestration.test_retention import SECOND, in_, run
from tests.servers import database, postgres_url

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
OURS = ("code", "daemon", "web", "webhook", "follow", "embedder")


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def compose() -> Any:
    return read(DEPLOY / "compose.yaml")


def test_no_secret_has_a_default_and_none_is_written_down() -> None:
    told = (DEPLOY / "compose.yaml").read_text()

    named = re.findall(r"\$\{(\w*(?:KEY|PASSWORD|TOKEN|SECRET|DATABASE_URL)\w*)([^}]*)\}", told)

    assert {name for name, _ in named} >= {"POSTGRES_PASSWORD", "WEAVIATE_API_KEY", "EMBEDDER_KEY"}
    assert all(rest == ":?set it" for _, rest in named)


@pytest.mark.parametrize("service", OURS)
def test_every_part_starts_with_a_command_that_there_is(service: str) -> None:
    words = compose()["services"][service]["command"].split()
    options = [word for word in words if word.startswith("-")]
    program, *names = words[: words.index(options[0])]

    asked = [str(BIN / program), *names, "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout

    assert options
    assert all(re.search(rf"(^|[\s,]){re.escape(one)}\b", told) for one in options), told


@pytest.mark.parametrize("service", OURS)
def test_every_part_is_looked_after_and_bounded(service: str) -> None:
    part = compose()["services"][service]

    assert part["healthcheck"]["test"][0] == "CMD"
    assert part["mem_limit"]
    assert part["restart"] == "unless-stopped"


def test_every_setting_is_one_that_somebody_reads() -> None:
    code = "".join(path.read_text() for path in (ROOT / "semilayer_pipelines").rglob("*.py"))
    files = (DEPLOY / "workspace.yaml").read_text() + (DEPLOY / "dagster.yaml").read_text()

    given = set(compose()["x-semilayer"]["environment"]) - {"DATABASE_URL"}

    assert len(given) > 8
    assert [name for name in given if name not in code + files] == []


def test_the_image_runs_as_nobody_in_particular() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    last_stage = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM")) :]

    assert "USER 10001" in last_stage
    assert not [line for line in lines if re.search(r"(KEY|PASSWORD|TOKEN|SECRET)=", line)]
    copied = [
        line.split()[-2] for line in lines if line.startswith("COPY") and "--from" not in line
    ]
    assert all((ROOT / name).exists() for name in copied)


def test_the_queue_is_the_same_on_postgresql() -> None:
    here, there = read(ROOT / "dagster.yaml"), read(DEPLOY / "dagster.yaml")

    assert {name for name in here if here[name] != there.get(name)} == {"storage"}
    assert set(here) == set(there)


def test_dagster_keeps_and_forgets_its_runs_on_postgresql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given the instance of deploy/, on a real server
    with database(postgres_url()) as url:
        with_driver = make_url(url).set(drivername="postgresql+psycopg2")
        shown = with_driver.render_as_string(hide_password=False)
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", shown)
        monkeypatch.chdir(tmp_path)
        with dg.DagsterInstance.from_config(str(DEPLOY)) as instance:
            # when a job runs, and a day goes by
            @dg.op
            def nothing() -> None:
                """Do nothing."""

            @dg.job(name="records_ingest", executor_def=dg.in_process_executor)
            def job() -> None:
                nothing()

            done = job.execute_in_process(instance=instance)
            at_work = run(instance, "records_ingest", dg.DagsterRunStatus.STARTED)

            # then
            assert instance.all_logs(done.run_id)
            assert forget_runs(instance, in_(SMALL_RUNS_KEPT + SECOND)) == 1
            assert [one.run_id for one in instance.get_runs()] == [at_work]
            assert instance.all_logs(done.run_id) == []
    assert os.listdir(tmp_path) in ([], [".semilayer"])
