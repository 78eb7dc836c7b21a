"""Clients as the tests want them."""

from __future__ import annotations

import math

from semilayer_pipelines.client import AsyncIngestClient, IngestClient
from tests.client.service import KEY, Service

NEVER = math.inf


def client(service: Service, **options: float) -> IngestClient:
    """A client that flushes only when it is told to, unless told otherwise."""
    return IngestClient(service.url, KEY, "products", **{"flush_after": NEVER, **options})


def async_client(service: Service, **options: float) -> AsyncIngestClient:
    """The same for tasks."""
    return AsyncIngestClient(service.url, KEY, "products", **{"flush_after": NEVER, **options})
