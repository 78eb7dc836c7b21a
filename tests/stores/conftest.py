from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import Index, Store
from tests.stores.objects import ONE_FIELD

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """Where a store is, in words another process can be given."""

    kind: str
    directory: Path
    env: str

    def open(self) -> Store:
        return open_store(self.kind, self.directory, self.env)

    def start(self, task: str, *args: str) -> subprocess.Popen[str]:
        """Start a task of `tests.stores.tasks` in a process of its own."""
        command = [sys.executable, "-m", "tests.stores.tasks", task]
        command += [self.kind, str(self.directory), self.env, *args]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, task: str, *args: str) -> str:
        process = self.start(task, *args)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert err == "", "a store prints nothing"
        return out


@pytest.fixture(params=["lancedb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "not" / "made" / "yet", "development")


@pytest.fixture
def store(place: Place) -> Store:
    return place.open()


@pytest.fixture
def index(store: Store) -> Index:
    return store.create("lens-g1", ONE_FIELD)
