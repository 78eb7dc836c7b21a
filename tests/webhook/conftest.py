"""A service over a registry, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.registry.conftest import postgres_registry_url, registry_url
from tests.webhook.site import Site
from webhook import app

__all__ = ["postgres_registry_url", "registry_url"]


@pytest.fixture
def site(registry_url: str, tmp_path: Path) -> Iterator[Site]:
    """A running application with the lens `items`, on each kind of database in turn."""
    yield from Site.opened(registry_url, tmp_path)


@pytest.fixture
def sqlite_site(tmp_path: Path) -> Iterator[Site]:
    """The same on SQLite only, for what does not depend on the database."""
    yield from Site.opened(f"sqlite:///{tmp_path}/registry.db", tmp_path)


@pytest.fixture(autouse=True, scope="session")
def _garbage_is_collected() -> Iterator[None]:
    """Let garbage go, and begin no service with a collection of all that the suite imported.

    A service takes all that there is out of the collector's sight, for good: a process has one.
    Here that would be the garbage of hundreds.
    """
    nothing = SimpleNamespace(collect=lambda: 0, freeze=lambda: None, set_threshold=lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "gc", nothing)
        yield
