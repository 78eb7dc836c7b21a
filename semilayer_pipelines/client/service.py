"""Addresses and requests of the service, as plain data.

The key is not part of any of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.address import http_address
from semilayer_pipelines.http.contract import INGEST_PATH, JOB_PATH

__all__ = ["Request", "Service", "check_key"]


@dataclass(frozen=True)
class Request:
    """One HTTP request; `patience` is how long, in seconds, the response may take on purpose."""

    method: Literal["GET", "POST"]
    url: str
    body: bytes = b""
    patience: float = 0.0


@dataclass(frozen=True)
class Service:
    """A lens of a service. `url` is the address up to and without `/v1`."""

    url: str
    lens: str

    @classmethod
    def at(cls, url: str, lens: str) -> Service:
        """Check the address and the lens's name; raises `ConfigError` without quoting secrets."""
        address = http_address(url.strip())
        if address is None or address.query:
            raise ConfigError(
                "the service's URL is not an address.",
                cure="Write it in full, up to and without /v1, like https://ingest.example.org.",
            )
        if address.username or address.password:
            raise ConfigError(
                "the service's URL holds a user name or a password.",
                cure="Take it out; the key goes into a parameter of its own.",
            )
        if not lens:
            raise ConfigError("the lens's name is empty.", cure="Name it as sl.config.yaml does.")
        path = address.path.rstrip("/").removesuffix("/v1")
        return cls(address._replace(path=path, fragment="").geturl(), lens)

    def records(self, body: bytes) -> Request:
        """Return the call that pushes an encoded batch."""
        return Request("POST", self._ingest, body)

    def ingest(self, mode: Literal["full", "incremental"]) -> Request:
        """Return the call that asks for an ingest without naming rows."""
        return Request("POST", self._ingest, json.dumps({"mode": mode}).encode())

    def job(self, id: str, wait: float) -> Request:
        """Return the look-up of a job; the service responds at its end or after `wait` seconds."""
        query = f"?{urlencode({'wait': f'{wait:.3f}'.rstrip('0').rstrip('.')})}" if wait else ""
        path = JOB_PATH.format(id=quote(id, safe=""))
        return Request("GET", f"{self.url}{path}{query}", patience=wait)

    @property
    def _ingest(self) -> str:
        return self.url + INGEST_PATH.format(lens=quote(self.lens, safe=""))


def check_key(key: str) -> str:
    """Return the key as it is sent; raises `ConfigError`, without quoting it, when it is none."""
    key = key.strip()
    # Refused here because the HTTP library's own complaint would quote the whole header.
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            "the key is empty or holds characters that no key has.",
            cure="Give an ik_ or sk_ key, without quotation marks or line breaks.",
        )
    return key
