"""A viewer of the console over a whole project: source, index and all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.webhook.console.site import Viewer


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A project whose lens `items` is indexed."""
    lab = Lab.at(tmp_path, rows=20)
    lab.full()
    return lab


@pytest.fixture
def stranger(lab: Lab) -> Iterator[Viewer]:
    """A viewer who is not signed in."""
    with Viewer.of(lab.project) as viewer:
        yield viewer


@pytest.fixture
def viewer(stranger: Viewer) -> Viewer:
    """A viewer who is signed in."""
    assert stranger.sign_in().status_code == 303
    return stranger
