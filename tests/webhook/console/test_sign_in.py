"""Who may see the console, and who may press its buttons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.registry import api_keys, sessions
from semilayer_pipelines.registry.api_key import KeyKind, parse_key
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab
from tests.webhook.console.site import LOCAL, Viewer, words
from webhook.app import build_app
from webhook.console.sign_in import ATTEMPTS

LENSES = f"/console/{ENV}/lenses"
PAUSE = f"{LENSES}/items/do/pause"


def with_setting(lab: Lab, word: str) -> Lab:
    project = replace(lab.project, environ={**lab.project.environ, "SEMILAYER_CONSOLE": word})
    return replace(lab, project=project)


def test_a_service_key_opens_its_environment_and_the_cookie_is_out_of_reach(
    stranger: Viewer,
) -> None:
    entered = stranger.sign_in()

    assert (entered.status_code, entered.headers["location"]) == (303, LENSES)
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/console" in cookie
    assert "secure" not in cookie  # it came over plain HTTP, and would not be sent again
    assert "items" in stranger.page(LENSES)


def test_over_https_the_cookie_is_sent_over_https_alone(lab: Lab) -> None:
    with Viewer.of(lab.project, base_url="https://127.0.0.1:8000") as viewer:
        assert "; secure" in viewer.sign_in().headers["set-cookie"].lower()


@pytest.mark.parametrize("kind", [KeyKind.INGEST, KeyKind.SEARCH])
def test_a_key_that_may_do_less_cannot_enter(stranger: Viewer, kind: KeyKind) -> None:
    refused = stranger.sign_in(stranger.new_key(kind))

    assert refused.status_code == 403
    assert "This key can only" in words(refused.text)
    assert stranger.get(LENSES).status_code == 303


@pytest.mark.parametrize("made_up", ["", "sk_test_1", "<script>alert(1)</script>"])
def test_what_is_no_key_is_refused_and_not_shown_again(stranger: Viewer, made_up: str) -> None:
    refused = stranger.sign_in(made_up)

    assert refused.status_code == 403
    assert "That is no service key" in words(refused.text)
    assert "<script>alert" not in refused.text


def test_keys_cannot_be_tried_without_end(stranger: Viewer) -> None:
    tried = [stranger.sign_in("sk_test_1").text for _ in range(ATTEMPTS)]
    late = stranger.sign_in()

    assert all("That is no service key" in text for text in tried)
    assert f"{ATTEMPTS} keys were tried within a minute" in words(late.text)


def test_without_a_cookie_every_page_leads_to_the_sign_in_and_back(stranger: Viewer) -> None:
    asked = stranger.get(f"{LENSES}?x=1")

    assert asked.status_code == 303
    sign_in = asked.headers["location"]
    assert sign_in.startswith("/console/-/sign-in?next=%2Fconsole%2F")
    entered = stranger.send(sign_in, "/console/-/sign-in", {"key": stranger.new_key()})
    assert entered.headers["location"] == f"{LENSES}?x=1"


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/v1/lenses"])
def test_the_sign_in_leads_to_the_console_alone(stranger: Viewer, elsewhere: str) -> None:
    form = {"key": stranger.new_key(), "next": elsewhere}
    entered = stranger.client.post("/console/-/sign-in", data=form)

    assert entered.headers["location"] == LENSES


def test_a_look_that_a_page_takes_by_itself_is_told_that_the_session_is_over(
    stranger: Viewer,
) -> None:
    assert stranger.get(LENSES, headers={"x-console-poll": "1"}).status_code == 401


def test_without_a_cookie_no_button_does_anything(stranger: Viewer, lab: Lab) -> None:
    refused = stranger.client.post(PAUSE, data={})

    assert refused.headers["location"].startswith("/console/-/sign-in")
    assert lab.lens.status is LensStatus.READY


def test_a_form_without_the_sessions_token_does_nothing(viewer: Viewer, lab: Lab) -> None:
    for form in ({}, {"form_token": ""}, {"form_token": "0" * 64}):
        refused = viewer.client.post(PAUSE, data=form)
        assert refused.status_code == 403
        assert "not made for your session" in words(refused.text)
    assert lab.lens.status is LensStatus.READY


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": LOCAL},
    ],
)
def test_a_form_of_another_site_does_nothing_even_with_the_token(
    viewer: Viewer, lab: Lab, headers: dict[str, str]
) -> None:
    viewer.client.headers.update(headers)
    refused = viewer.send(LENSES, PAUSE)

    assert refused.status_code == 403
    assert "sent from another site" in words(refused.text)
    assert lab.lens.status is LensStatus.READY


def test_a_session_ends_at_once_when_its_key_is_revoked(stranger: Viewer, lab: Lab) -> None:
    key = stranger.new_key()
    stranger.sign_in(key)
    parsed = parse_key(key)
    assert parsed is not None
    assert stranger.get(LENSES).status_code == 200
    with lab.project.registry.begin() as db:
        api_keys.revoke(db, ENV, parsed.id, lab.project.clock())

    looked = stranger.get(LENSES)
    assert looked.headers["location"].startswith("/console/-/sign-in")
    assert "Your session is over, or its key was revoked." in stranger.after(looked)


def test_a_button_that_is_pressed_after_the_session_did_nothing_and_says_so(
    viewer: Viewer, lab: Lab
) -> None:
    with lab.project.registry.begin() as db:
        for key in api_keys.list_all(db, ENV):
            api_keys.revoke(db, ENV, key.id, lab.project.clock())

    pressed = viewer.client.post(f"{LENSES}/items/do/pause")

    assert "Nothing was done." in viewer.page(pressed.headers["location"])
    assert lab.lens.status is LensStatus.READY


def test_signing_out_ends_the_session_for_whoever_kept_the_cookie(viewer: Viewer) -> None:
    cookies = dict(viewer.client.cookies)
    viewer.send(LENSES, "/console/-/sign-out")
    viewer.client.cookies.update(cookies)

    assert viewer.get(LENSES).status_code == 303


def test_a_session_opens_the_environments_whose_keys_were_shown_and_no_other(
    viewer: Viewer,
) -> None:
    key = viewer.new_key(env="production")
    closed = viewer.get("/console/production/lenses")
    assert closed.headers["location"].endswith("&env=production")
    before = viewer.client.cookies["semilayer_console"]

    viewer.sign_in(key)

    assert viewer.client.cookies["semilayer_console"] != before
    assert "Lenses of production" in viewer.page("/console/production/lenses")
    assert "Lenses of test" in viewer.page(LENSES)


def test_the_registry_keeps_nothing_that_a_cookie_could_be_made_of(viewer: Viewer) -> None:
    token = viewer.client.cookies["semilayer_console"]
    with viewer.project.registry.read() as db:
        assert sessions.keys(db, token, viewer.project.clock()) == []


def test_every_response_is_closed_to_scripts_frames_and_caches_of_others(viewer: Viewer) -> None:
    for path in (LENSES, "/console/-/sign-in", f"{LENSES}/nothing"):
        headers = viewer.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_the_console_can_be_switched_off(lab: Lab) -> None:
    with Viewer.of(with_setting(lab, "off").project) as viewer:
        for path in ("/console", "/console/-/sign-in", LENSES):
            assert viewer.get(path).json()["error"]["code"] == "not_found"
        assert viewer.sign_in().status_code == 404


@pytest.mark.parametrize(
    "from_elsewhere",
    [
        {"base_url": "http://10.0.0.7:8000"},
        {"base_url": "http://evil.example:8000"},
        {"client": ("10.0.0.9", 5)},
        {"headers": {"x-forwarded-for": "10.0.0.9"}},
    ],
    ids=["another address", "another name", "another machine", "a proxy"],
)
def test_it_is_shown_on_its_own_machine_unless_told(
    lab: Lab, from_elsewhere: dict[str, object]
) -> None:
    with Viewer.of(lab.project, **from_elsewhere) as viewer:
        assert viewer.sign_in().status_code == 403
        assert "SEMILAYER_CONSOLE=on" in words(viewer.get(LENSES).text)
    with Viewer.of(with_setting(lab, "on").project, **from_elsewhere) as viewer:
        assert viewer.sign_in().status_code == 303


def test_a_wrong_word_in_the_setting_is_told_before_anything_is_served(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="did you mean 'local'"):
        build_app(with_setting(lab, "lokal").project)


def test_a_link_from_another_site_finds_the_session(viewer: Viewer) -> None:
    cookies = dict(viewer.client.cookies)
    viewer.client.cookies.clear()  # SameSite=Strict keeps it back

    arrived = viewer.get(LENSES, headers={"sec-fetch-site": "cross-site"})

    assert arrived.status_code == 200
    assert 'http-equiv="refresh"' in arrived.text
    viewer.client.cookies.update(cookies)
    assert viewer.get(LENSES, headers={"sec-fetch-site": "same-origin"}).status_code == 200
