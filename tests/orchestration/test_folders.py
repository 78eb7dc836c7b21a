"""Dagster's own commands work in a folder of ours, without a variable set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.project import ROOT, Folder
from tests.patience import PATIENCE_SECONDS

DG = Path(sys.executable).with_name("dg")
DAGSTER = Path(sys.executable).with_name("dagster")

needs_dg = pytest.mark.skipif(not DG.exists(), reason="`make setup` installs dagster-dg-cli")


@pytest.fixture(scope="module")
def initiated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder made by `semilayer init`, with its lens pushed."""
    folder = Folder.at(tmp_path_factory.mktemp("initiated"), rows=3)
    (folder.path / "sl.config.yaml").unlink()
    made = folder.run("init", "--connection", f"sqlite:///{folder.database}")
    assert made.exit_code == 0, made.output
    assert folder.run("push").exit_code == 0
    return folder.path


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of a clone Dagster looks at."""
    clone = tmp_path_factory.mktemp("cloned")
    for name in ("pyproject.toml", "dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, clone)
    (clone / "semilayer_pipelines").symlink_to(ROOT / "semilayer_pipelines")
    return clone


def ran(folder: Path, *command: object) -> str:
    """Run a command without any setting; return what it printed."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("SEMILAYER_", "DAGSTER_"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("folder", ["initiated", "cloned"])
def test_dagster_finds_the_definitions_of_a_folder(
    folder: str, request: pytest.FixtureRequest
) -> None:
    ran(request.getfixturevalue(folder), DAGSTER, "definitions", "validate")


@needs_dg
def test_dg_checks_the_definitions_of_a_clone(cloned: Path) -> None:
    said = ran(cloned, DG, "check", "defs")

    assert "All definitions loaded successfully." in said


@needs_dg
def test_dg_lists_the_lenses_and_what_a_person_puts_beside_them(initiated: Path) -> None:
    # given an asset of a person's own, as `dg scaffold defs` writes it
    (initiated / "defs" / "mine.py").write_text(
        "import dagster as dg\n\n\n@dg.asset\ndef mine() -> None: ...\n"
    )

    # when
    listed = json.loads(ran(initiated, DG, "list", "defs", "--json"))

    # then
    keys = {one["asset_key"] for one in listed["assets"]}
    ours = {"development/main/items", "development/items", "development/items/items_published"}
    assert keys == {"mine"} | ours


@needs_dg
def test_dg_finds_the_component(initiated: Path) -> None:
    listed = json.loads(ran(initiated, DG, "list", "components", "--json"))

    assert "semilayer_pipelines.SemilayerLenses" in {one["key"] for one in listed["items"]}


def test_a_folder_that_is_no_project_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    module = "semilayer_pipelines.orchestration.definitions"
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        cwd=tmp_path,
        env={n: v for n, v in os.environ.items() if not n.startswith("SEMILAYER_")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert f"There is no sl.config.yaml in {tmp_path}" in done.stderr
    assert list(tmp_path.iterdir()) == []
