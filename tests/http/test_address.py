"""Addresses of services: http or https, a host, and a port that there can be."""

from __future__ import annotations

import pytest

from semilayer_pipelines.http.address import http_address


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://localhost:8000/v1", "localhost", 8000),
        ("https://api.example.org", "api.example.org", None),
        ("HTTP://Example.org/", "example.org", None),
        ("http://[::1]:8100", "::1", 8100),
    ],
)
def test_an_address_is_read(url: str, host: str, port: int | None) -> None:
    parts = http_address(url)

    assert parts is not None
    assert (parts.hostname, parts.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "http://host:many",
        "http://host:0",
        "http://host:65536",
        "http://[::1",
    ],
)
def test_what_is_none_is_none(url: str) -> None:
    assert http_address(url) is None
