"""A service for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.service import Service, serve


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that answers every call with a receipt until told otherwise."""
    with serve() as running:
        yield running
