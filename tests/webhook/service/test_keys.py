"""Who may call what; and that a key is neither logged nor answered."""

from __future__ import annotations

import logging
from random import Random

import pytest

from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import KeyKind, new_key
from tests.webhook.site import ENV, Site, error_of
from webhook.openapi import PATH
from webhook.operations import KEYED, OPEN, Keyed

OPERATIONS = pytest.mark.parametrize("operation", KEYED, ids=lambda one: f"{one.method} {one.path}")


def path_of(operation: Keyed) -> str:
    return operation.path.replace("{lens}", "items").replace("{id}", "none")


@OPERATIONS
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic aWs6c2s=",
        "Bearer ik_test_0123456789abcdefghijabcdefghijabcdefghij000000",
        "Bearer sk_live_secret",
        "Bearer ☃".encode(),
        "Bearer " + "x" * 5_000,
    ],
)
def test_without_a_true_key_every_address_answers_401(
    sqlite_site: Site, operation: Keyed, header: str | bytes | None
) -> None:
    response = sqlite_site.client.request(
        operation.method,
        path_of(operation),
        json={},
        headers={}
        if header is None
        else {b"authorization": header.encode() if isinstance(header, str) else header},
    )

    assert error_of(response)[:2] == (401, "unauthorized")  # type: ignore[arg-type]
    assert response.headers["www-authenticate"] == "Bearer"


@OPERATIONS
def test_a_well_formed_key_that_was_never_issued_is_401(
    sqlite_site: Site, operation: Keyed
) -> None:
    made_up = new_key(KeyKind.SERVICE, ENV, Random(1).choice)

    response = sqlite_site.call(operation.method, path_of(operation), {}, key=made_up)

    assert error_of(response)[:2] == (401, "unauthorized")


@OPERATIONS
def test_an_ingest_key_may_ingest_and_nothing_else(sqlite_site: Site, operation: Keyed) -> None:
    response = sqlite_site.call(
        operation.method, path_of(operation), {"mode": "full"}, key=sqlite_site.ik
    )

    if operation.path == "/v1/ingest/{lens}":
        assert response.status_code == 202
    else:
        assert error_of(response)[:2] == (403, "forbidden")


SEARCHES = {"/v1/search/{lens}": {"query": "a red scarf"}, "/v1/similar/{lens}": {"id": "1"}}


@OPERATIONS
def test_a_search_key_may_search_and_nothing_else(sqlite_site: Site, operation: Keyed) -> None:
    qk = sqlite_site.new_key(KeyKind.SEARCH)
    body = SEARCHES.get(operation.path, {"mode": "full"})

    for _ in range(2):  # looked up, and then remembered
        response = sqlite_site.call(operation.method, path_of(operation), body, key=qk)

        if operation.path in SEARCHES:
            # The lens of this site has no index, which is said only to who may search it.
            assert error_of(response)[:2] == (409, "refused")
        else:
            assert error_of(response)[:2] == (403, "forbidden")
            assert "A qk_ key can only search" in response.json()["error"]["message"]
            assert "keys create --type" in response.json()["error"]["cure"]
    assert not sqlite_site.jobs()


def test_a_search_key_of_another_environment_finds_no_lens(sqlite_site: Site) -> None:
    qk = sqlite_site.new_key(KeyKind.SEARCH, "elsewhere")

    response = sqlite_site.call("POST", "/v1/search/items", {"query": "x"}, key=qk)

    assert error_of(response)[:2] == (404, "lens_not_found")


@OPERATIONS
@pytest.mark.parametrize("text", ["pk_test_" + "a" * 46, "pk_live_x", "pk_"])
def test_a_public_key_is_told_in_words_that_none_is_taken(
    sqlite_site: Site, operation: Keyed, text: str
) -> None:
    response = sqlite_site.call(operation.method, path_of(operation), {}, key=text)

    assert error_of(response)[:2] == (403, "forbidden")
    assert "public one" in response.json()["error"]["message"]
    cure = response.json()["error"]["cure"]
    assert "qk_ key to search" in cure
    assert "ik_ key to tell of changes" in cure
    assert "a" * 40 not in response.text


@pytest.mark.parametrize("path", [*(one.path for one in OPEN), PATH])
def test_what_is_open_needs_no_key_and_names_no_lens(sqlite_site: Site, path: str) -> None:
    sqlite_site.push("an-id-of-mine")

    response = sqlite_site.call("GET", path, key="")

    assert response.status_code == 200
    assert "an-id-of-mine" not in response.text
    if path != PATH:
        assert "items" not in response.text


def test_a_revoked_key_is_refused_by_the_very_next_call(site: Site) -> None:
    assert site.push("1").status_code == 202
    key_id = site.ik[len(f"ik_{ENV}_") :][:10]
    with site.project.registry.begin() as db:
        api_keys.revoke(db, ENV, key_id, site.clock())

    answers = [site.push("2"), site.push("3"), site.ingest({"mode": "full"})]

    assert [error_of(answer)[:2] for answer in answers] == [(401, "unauthorized")] * 3
    assert site.buffer() == [("1", "upsert")]


def test_a_revoked_service_key_is_refused_by_the_very_next_call(site: Site) -> None:
    assert site.call("GET", "/v1/lenses").status_code == 200
    with site.project.registry.begin() as db:
        for key in api_keys.list_all(db, ENV):
            api_keys.revoke(db, ENV, key.id, site.clock())

    assert error_of(site.call("GET", "/v1/lenses"))[:2] == (401, "unauthorized")


def test_the_scheme_may_be_written_in_any_case(sqlite_site: Site) -> None:
    headers = {"authorization": f"bearer  {sqlite_site.sk} "}

    assert sqlite_site.call("GET", "/v1/lenses", key="", headers=headers).status_code == 200


def test_the_last_use_of_a_key_is_noted_once_a_minute(site: Site) -> None:
    noted, started = [], site.clock.now
    for seconds in (0.0, 30.0, 40.0):
        site.clock.go_on(seconds)
        site.push(str(seconds))
        site.call("GET", "/v1/lenses")
        with site.project.registry.read() as db:
            noted.append({key.last_used_at for key in api_keys.list_all(db, ENV)})

    assert noted == [{started}, {started}, {site.clock.now}]


def test_no_key_is_in_any_log_line_or_answer(
    sqlite_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site = sqlite_site
    with caplog.at_level(logging.DEBUG):
        wrong = site.sk[:-1] + ("0" if site.sk[-1] != "0" else "1")
        answers = [
            site.push("1"),
            site.push("1", key=wrong),
            site.ingest({"mode": site.ik}),
            site.call("GET", "/v1/lenses"),
            site.call("GET", f"/v1/lenses?key={site.sk}"),
            site.call("GET", f"/v1/{site.sk}"),
            site.call("GET", f"/v1/jobs/{site.sk}"),
            site.call("GET", "/metrics"),
            site.call("GET", "/v1/lenses", key=f"{site.sk} {site.ik}"),
        ]
        site.project.registry.close()
        (site.project.settings.root / "registry.db").rename(site.project.settings.root / "gone.db")
        answers.append(site.push("2"))

    ours = [one for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    said = "\n".join(caplog.handler.format(record) for record in ours)
    said += "".join(f"{answer.text}{answer.headers}" for answer in answers)
    assert answers[-1].status_code >= 500
    assert "webhook" in {record.name.partition(".")[0] for record in ours}
    for secret in (site.ik, site.sk, wrong):
        assert secret[-36:] not in said
