"""A project in a folder that this process is "in", and a Dagster instance of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from semilayer_pipelines.ingest import records_loop
from tests.lab import ENV, Lab

MakeLab = Callable[..., Lab]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Dagster's console log is about runs, not about these tests."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("dagster").setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has done its job need not wait for twenty seconds for another."""
    monkeypatch.setattr(records_loop, "IDLE_SECONDS", 0.3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the project that `Project.here()` opens."""
    for name in [name for name in os.environ if name.startswith("SEMILAYER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SEMILAYER_ROOT", str(tmp_path))
    monkeypatch.setenv("SEMILAYER_ENV", ENV)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make_lab(here: Path) -> MakeLab:
    """Make the project of this process, with rows and a lens `items`."""

    def make(rows: int = 0, **lens: Any) -> Lab:
        return Lab.at(here, rows=rows, **lens)

    return make


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def disk_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance on disk, for runs in several threads."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made
