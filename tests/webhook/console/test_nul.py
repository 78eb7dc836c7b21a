"""NUL, which PostgreSQL takes in no text, is refused wherever a person's browser may send it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webhook.console.site import Viewer, words
from tests.webhook.server import ENV, Place
from webhook.console.sign_in import COOKIE


@pytest.fixture
def viewer(registry_url: str, tmp_path: Path) -> Iterator[Viewer]:
    """A viewer who is signed in, over a registry on each kind of database in turn."""
    place = Place.at(tmp_path, registry_url)
    with Viewer.of(place.project) as viewer:
        assert viewer.sign_in(place.sk).status_code == 303
        yield viewer


@pytest.mark.parametrize(
    "address",
    [
        "jobs/%00",
        "jobs/a%00b",
        "jobs?before=%00",
        "jobs?lens=items%00",
        "jobs?%00=1",
        "lenses/items%00",
        "lenses/items/row?id=%00",
        "lenses/items/row/live?id=%00",
        "lenses/items/search?q=%00",
        "keys/%00/revoke",
    ],
)
def test_an_address_with_nul_is_refused_in_words(viewer: Viewer, address: str) -> None:
    answer = viewer.get(f"/console/{ENV}/{address}")

    assert answer.status_code == (400 if "?" in address else 404)
    assert "address holds NUL (%00)" in words(answer.text)


@pytest.mark.parametrize("field", ["name", "kind", "other\0"])
def test_a_form_with_nul_is_refused_in_words(viewer: Viewer, field: str) -> None:
    form = {"kind": "ingest", "name": "my-shop"} | {field: "a\0b"}

    answer = viewer.send(f"/console/{ENV}/keys", f"/console/{ENV}/keys", form)

    assert answer.status_code == 400
    assert "The form holds NUL (%00)" in words(answer.text)


def test_a_session_that_nobody_began_may_hold_anything(viewer: Viewer) -> None:
    viewer.client.cookies.set(COOKIE, '"\\000"')

    assert viewer.get(f"/console/{ENV}/lenses").status_code == 303
