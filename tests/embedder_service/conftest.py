"""A service with a watched embedder, ready to be asked."""

from collections.abc import Iterator

import pytest

from tests.embedder_service.service import (
    Service,
    WatchedEmbedder,
    running,
    wait_until_ready,
)


@pytest.fixture
def embedder() -> WatchedEmbedder:
    return WatchedEmbedder()


@pytest.fixture
def service(embedder: WatchedEmbedder) -> Iterator[Service]:
    with running(embedder.opened) as started:
        wait_until_ready(started)
        yield started
        embedder.calls.clear()
