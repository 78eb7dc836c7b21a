"""The key goes into one header and nowhere else; addresses hold no password."""

from __future__ import annotations

import logging

import pytest

from semilayer_pipelines.client import (
    IngestClient,
    RequestRefused,
)
from semilayer_pipelines.errors import ConfigError
from tests.client.given import NEVER
from tests.client.service import KEY, Service


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "http://u:pw0rd@example.org", "http://x:99999"]
)
def test_an_unusable_address_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as failure:
        IngestClient(url, KEY, "products")
    assert "pw0rd" not in str(failure.value)


@pytest.mark.parametrize("key", ["", "ik_a\nb", "ik_ä", '"ik_a b"'])
def test_an_unusable_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigError) as failure:
        IngestClient("http://localhost", key, "products")
    assert not key or key not in str(failure.value)


def test_the_key_is_nowhere_to_be_seen(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    # Given a service that repeats the key in its error, and all logs on
    caplog.set_level(logging.DEBUG)
    secret = "ik_development_wrongWRONGwrong"
    products = IngestClient(service.url, secret, "products", flush_after=NEVER)
    products.upsert("1")
    # When it refuses
    with pytest.raises(RequestRefused) as refusal:
        products.flush()
    shown = [repr(products), str(refusal.value), repr(refusal.value), caplog.text]
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
    # Then no text holds it
    assert "HTTP Request" in caplog.text
    assert "***" in str(refusal.value)
    assert all("wrongWRONG" not in text for text in shown)
    with pytest.raises(RequestRefused):
        products.close()
