"""A service over a registry, on SQLite and on PostgreSQL."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.conftest import postgres_registry_url, registry_url
from tests.webhook.site import Site

__all__ = ["postgres_registry_url", "registry_url"]


@pytest.fixture
def site(registry_url: str, tmp_path: Path) -> Iterator[Site]:
    """A running application with the lens `items`, on each kind of database in turn."""
    yield from Site.opened(registry_url, tmp_path)


@pytest.fixture
def sqlite_site(tmp_path: Path) -> Iterator[Site]:
    """The same on SQLite only, for what does not depend on the database."""
    yield from Site.opened(f"sqlite:///{tmp_path}/registry.db", tmp_path)


@pytest.fixture(autouse=True, scope="module")
def _nothing_frozen() -> Iterator[None]:
    """Let a module's garbage go at once.

    A service takes all that there is out of the collector's sight, for good: a process has one.
    Here that is the garbage of hundreds. A service begins with a collection, which takes half a
    second when it has to go through everything.
    """
    yield
    gc.unfreeze()
