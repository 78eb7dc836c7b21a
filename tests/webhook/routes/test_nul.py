"""NUL, which PostgreSQL takes in no text, is refused wherever a program may send it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.webhook.site import Site

FIELD = {"type": "text", "searchable": True}


@pytest.mark.parametrize(
    "changed",
    [
        {"guard": "3\0%"},
        {"syncInterval": "\0"},
        {"fields": {"ti\0tle": FIELD}},
        {"fields": {"title": FIELD | {"from": "a\0b"}}},
        {"fields": {"title": FIELD | {"from": ["a", "b\0"]}}},
        {"gu\0ard": 0.3},
    ],
)
def test_a_change_of_a_lens_with_nul_is_refused(site: Site, changed: dict[str, Any]) -> None:
    answer = site.client.patch(
        "/v1/lenses/items", json=changed, headers={"authorization": f"Bearer {site.sk}"}
    )

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "bad_request"


@pytest.mark.parametrize("path", ["/v1/jobs/%00", "/v1/lenses/%00", "/v1/lenses/items%00/failed"])
def test_an_address_with_nul_is_nothing_here(site: Site, path: str) -> None:
    answer = site.client.get(path, headers={"authorization": f"Bearer {site.sk}"})

    assert answer.status_code == 404, answer.text
