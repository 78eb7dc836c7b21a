"""The service over a whole project: source, index and all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.testclient import TestClient

from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import KeyKind
from tests.lab import ENV, Lab
from webhook.app import build_app


@dataclass
class LabSite:
    """A project and its service, called with a service key."""

    lab: Lab
    client: TestClient
    key: str

    @classmethod
    def opened(cls, lab: Lab) -> Iterator[LabSite]:
        """Yield a site that serves, and close it."""
        with lab.project.registry.begin() as db:
            _, key = api_keys.create(
                db,
                ENV,
                KeyKind.SERVICE,
                "of a test",
                choose=secrets.choice,
                now=lab.project.clock(),
            )
        with TestClient(build_app(lab.project)) as client:
            yield cls(lab, client, key)

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"}
        options = {} if body is None else {"json": body}
        return self.client.request(method, path, headers=headers, **options)  # type: ignore[return-value]
