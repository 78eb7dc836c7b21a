"""Our double, and fixtures for what a bare server answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stores.weaviate.bare import Server, connected
from tests.weaviate_double.server import Double


@pytest.fixture
def double() -> Iterator[Double]:
    with Double.serving() as running:
        yield running


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server whose vectors are found when a request is acknowledged."""
    with _served(async_indexing=False) as server:
        if server.indexes_later:
            pytest.skip("a real server: it must run without ASYNC_INDEXING=true for this test")
        yield server


@pytest.fixture
def later() -> Iterator[Server]:
    """Give a server with asynchronous indexing."""
    with _served(async_indexing=True) as server:
        if not server.indexes_later:
            pytest.skip("a real server: it must run with ASYNC_INDEXING=true for this test")
        yield server


@pytest.fixture
def any_server() -> Iterator[Server]:
    """Give a server for what does not depend on how it indexes."""
    with _served(async_indexing=False) as server:
        yield server


@contextmanager
def _served(*, async_indexing: bool) -> Iterator[Server]:
    if "WEAVIATE_URL" in os.environ:
        settings = {name: text for name, text in os.environ.items() if name.startswith("WEAVIATE_")}
        with connected(settings) as server:
            try:
                yield server
            finally:
                server.clean_up()
        return
    with (
        Double.serving(async_indexing=async_indexing) as double,
        connected(double.environ, double) as server,
    ):
        yield server
