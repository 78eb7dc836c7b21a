"""Every store in turn: LanceDB in a folder, Weaviate at `WEAVIATE_URL` or, without it, our double.

Weaviate twice, with and without tenants.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest

from semilayer_pipelines.stores.protocol import Index, Store
from tests.patience import PATIENCE_SECONDS
from tests.stores.objects import ONE_FIELD
from tests.stores.tenanted import KIND as TENANTS
from tests.stores.tenanted import opened
from tests.weaviate_double.server import Double

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """Where a store is, in words another process can be given."""

    kind: str
    directory: Path
    env: str
    settings: dict[str, str] = field(default_factory=dict)

    def open(self) -> Store:
        return opened(self.kind, self.directory, self.env, self.settings)

    def elsewhere(self) -> Place:
        """Return the place of another environment in the same store."""
        return replace(self, env=f"{self.env}-other")

    def start(self, task: str, *args: str) -> subprocess.Popen[str]:
        """Start a task of `tests.stores.tasks` in a process of its own."""
        command = [sys.executable, "-m", "tests.stores.tasks", task]
        command += [self.kind, str(self.directory), self.env, *args]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **self.settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, task: str, *args: str) -> str:
        process = self.start(task, *args)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, err
        assert err == "", "a store prints nothing"
        return out


@pytest.fixture(scope="session")
def weaviate_settings() -> Iterator[dict[str, str]]:
    """Settings of the server that the contract is held against."""
    if "WEAVIATE_URL" in os.environ:
        yield {name: value for name, value in os.environ.items() if name.startswith("WEAVIATE_")}
    else:
        with Double.serving() as double:
            yield double.environ


@contextmanager
def placed(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    """Give a place of the kind that is the request's parameter, with nothing in it."""
    if request.param == "lancedb":
        yield Place("lancedb", folder, "development")
        return
    # A server outlives the test: an environment of its own, and nothing left in it.
    settings = request.getfixturevalue("weaviate_settings")
    here = Place(request.param, folder, f"test-{uuid4().hex[:12]}", settings)
    yield here
    for each in (here, here.elsewhere()):
        for name in each.open().names():
            each.open().drop(name)


@pytest.fixture(params=["lancedb", "weaviate", TENANTS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with placed(request, tmp_path / "not" / "made" / "yet") as here:
        yield here


@pytest.fixture(scope="module", params=["lancedb", "weaviate", TENANTS])
def shared_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Give one place to a module's tests that only read."""
    with placed(request, tmp_path_factory.mktemp("store")) as here:
        yield here


@pytest.fixture
def store(place: Place) -> Store:
    return place.open()


@pytest.fixture
def index(store: Store) -> Index:
    return store.create("lens-g1", ONE_FIELD)
