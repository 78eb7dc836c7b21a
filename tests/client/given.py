"""Clients as the tests want them, and waiting for what happens in the background."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from semilayer_pipelines.client import AsyncIngestClient, IngestClient
from tests.client.service import KEY, Service

NEVER = math.inf


def client(service: Service, **options: float) -> IngestClient:
    """A client that flushes only when it is told to, unless told otherwise."""
    return IngestClient(service.url, KEY, "products", **{"flush_after": NEVER, **options})


def async_client(service: Service, **options: float) -> AsyncIngestClient:
    """The same for tasks."""
    return AsyncIngestClient(service.url, KEY, "products", **{"flush_after": NEVER, **options})


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    """Say whether the condition holds within some seconds."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return bool(condition())
