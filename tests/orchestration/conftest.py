"""A project in a folder, and a Dagster instance of its own."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage

from semilayer_pipelines.ingest import further_jobs
from tests.lab import Lab

MakeLab = Callable[..., Lab]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Dagster's console log is about runs, not about these tests."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("dagster").setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _of_no_other_test() -> Iterator[None]:
    """Dagster keeps the last instance's storage in a variable, at times when that is long gone."""
    with set_defs_state_storage(None):
        yield


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has done its job need not wait for twenty seconds for another."""
    monkeypatch.setattr(further_jobs, "IDLE_SECONDS", 0.3)


@pytest.fixture
def make_lab(tmp_path: Path) -> MakeLab:
    """Make a project with rows and a lens `items`."""

    def make(rows: int = 0, **lens: Any) -> Lab:
        return Lab.at(tmp_path, rows=rows, **lens)

    return make


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="session")
def new_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Dagster instance in which nothing has happened; to make one takes longer."""
    folder = tmp_path_factory.mktemp("dagster")
    with dg.DagsterInstance.local_temp(str(folder)):
        return folder


@pytest.fixture
def disk_instance(tmp_path: Path, new_instance: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance on disk, for runs in several threads."""
    folder = shutil.copytree(new_instance, tmp_path / "dagster")
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made
