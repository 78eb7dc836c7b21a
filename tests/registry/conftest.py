"""A registry on SQLite and on PostgreSQL: every test of this folder runs on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests import servers
from tests.registry.given import make_lens
from tests.registry_file import lay_registry


@pytest.fixture(scope="session")
def postgres_registry_url() -> Iterator[str]:
    with servers.database(servers.postgres_url()) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def registry_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a migrated registry without a row."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
        lay_registry(url)
        return url
    url = str(request.getfixturevalue("postgres_registry_url"))
    registry = Registry.open(url)
    with registry.begin() as db:
        db.execute(delete(tables.environments))  # nearly everything else hangs on these
        db.execute(delete(tables.heartbeats))
        db.execute(delete(tables.batches))
    registry.close()
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without a table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/registry.db"
    else:
        with servers.database(servers.postgres_url()) as url:
            yield url


@pytest.fixture
def registry(registry_url: str) -> Iterator[Registry]:
    """An open registry without a row."""
    opened = Registry.open(registry_url)
    yield opened
    opened.close()


@pytest.fixture
def lens(registry: Registry) -> Lens:
    """A registered lens that is ready."""
    return make_lens(registry, "items")
