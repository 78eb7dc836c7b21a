"""A 60-second sliding window for each environment and lens, by the environment's tier."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from semilayer_pipelines.registry import call_log, tables
from semilayer_pipelines.registry.environments import Tier
from tests.registry.race import processes_at_once
from tests.webhook.server import Place
from tests.webhook.site import Site, error_of
from webhook.app import build_app

LIMITS = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0"}


def limits_of(response: httpx.Response) -> dict[str, str]:
    names = ("retry-after", "x-ratelimit-limit", "x-ratelimit-remaining")
    return {name: response.headers[name] for name in names if name in response.headers}


@pytest.mark.parametrize(("tier", "limit"), [(Tier.FREE, 10), (Tier.PRO, 60), (Tier.TEAM, 300)])
def test_a_tier_takes_as_many_calls_in_a_minute_as_the_page_says(
    sqlite_site: Site, tier: Tier, limit: int
) -> None:
    # given a minute in which all but ten of them were taken
    sqlite_site.set_tier(tier)
    now = sqlite_site.clock()
    with sqlite_site.project.registry.begin() as db:
        call_log.admit(db, sqlite_site.lens().id, calls=limit - 10, limit=limit, now=now)

    # when
    answers = [sqlite_site.push(str(number)).status_code for number in range(12)]

    # then
    assert answers == [202] * 10 + [429] * 2
    assert len(sqlite_site.buffer()) == 10


@pytest.mark.parametrize("tier", [None, Tier.ENTERPRISE])
def test_without_a_tier_and_for_enterprise_there_is_no_limit(
    sqlite_site: Site, tier: Tier | None
) -> None:
    if tier:
        sqlite_site.set_tier(tier)

    answers = [sqlite_site.push(str(number)) for number in range(12)]

    # then nothing counts them, so that none is ever too many
    assert {answer.status_code for answer in answers} == {202}
    assert limits_of(answers[-1]) == {}
    with sqlite_site.project.registry.read() as db:
        assert db.scalar(select(func.count()).select_from(tables.calls)) == 0


def test_the_answers_say_what_is_left_and_how_long_to_wait(site: Site) -> None:
    site.set_tier(Tier.FREE)

    left = [limits_of(site.push(str(number))) for number in range(10)]
    site.clock.go_on(20.25)
    over = site.push("11")

    assert left == [
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": str(9 - number)}
        for number in range(10)
    ]
    assert error_of(over)[:2] == (429, "rate_limited")
    assert limits_of(over) == LIMITS | {"retry-after": "40"}


def test_the_wait_that_is_told_is_the_true_one(site: Site) -> None:
    site.set_tier(Tier.FREE)
    for number in range(10):
        site.push(str(number))
        site.clock.go_on(1)
    wait = int(site.push("over").headers["retry-after"])

    site.clock.go_on(wait - 1)
    assert site.push("too soon").status_code == 429
    site.clock.go_on(1)
    assert site.push("in time").status_code == 202
    assert site.push("the next place is free a second later").status_code == 429


def test_refused_calls_and_bad_ones_do_not_count(site: Site) -> None:
    site.set_tier(Tier.FREE)
    for _ in range(30):
        assert site.ingest({"mode": "none"}).status_code == 400
    for number in range(10):
        assert site.push(str(number)).status_code == 202
    for _ in range(30):
        assert site.push("over").status_code == 429

    site.clock.go_on(60)
    assert site.push("again").headers["x-ratelimit-remaining"] == "9"


def test_every_mode_counts_and_a_deduplicated_call_too(site: Site) -> None:
    site.set_tier(Tier.FREE)

    left = [
        site.ingest({"mode": mode}).headers["x-ratelimit-remaining"]
        for mode in ("full", "full", "incremental", "incremental")
    ]

    assert left == ["9", "8", "7", "6"]


def test_lenses_do_not_share_a_window(site: Site) -> None:
    site.set_tier(Tier.FREE)
    site.add_lens("other")
    for number in range(11):
        site.push(str(number))

    assert site.push("1", lens="other").headers["x-ratelimit-remaining"] == "9"


def test_calls_at_the_same_moment_never_exceed_the_limit(site: Site) -> None:
    site.set_tier(Tier.PRO)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: site.push(str(n)).status_code, range(100)))

    assert sorted(answers) == [202] * 60 + [429] * 40
    assert len(site.buffer()) == 60


def post_often(url: str, number: int) -> list[int]:
    """Post as fast as possible until five calls were refused; `url` ends with # and the key.

    However busy the machine is, that is over long before the window of the first calls is.
    """
    address, _, key = url.rpartition("#")
    statuses: list[int] = []
    until = time.monotonic() + 40
    with httpx.Client(headers={"authorization": f"Bearer {key}"}) as client:
        while statuses.count(429) < 5 and time.monotonic() < until:
            change = {"id": f"{number}-{len(statuses)}", "action": "upsert"}
            body = {"mode": "records", "changes": [change]}
            statuses.append(client.post(f"{address}/v1/ingest/items", json=body).status_code)
    return statuses


@pytest.mark.slow
def test_eight_processes_against_two_server_processes_never_exceed_one_limit(
    registry_url: str, tmp_path: Path
) -> None:
    place = Place.at(tmp_path, registry_url, tier=Tier.PRO)

    with place.serving("--workers", "2") as server:
        answers = processes_at_once(post_often, f"{server.url}#{place.ik}", times=8)

    statuses = [status for one in answers for status in one]
    assert set(statuses) == {202, 429}
    assert statuses.count(202) == 60


def test_two_services_on_one_registry_share_the_limit(site: Site) -> None:
    site.set_tier(Tier.FREE)
    with TestClient(build_app(site.project)) as second:
        headers = {"authorization": f"Bearer {site.ik}"}
        other = [
            second.post("/v1/ingest/items", json={"mode": "full"}, headers=headers).status_code
            for _ in range(6)
        ]
        first = [site.push(str(number)).status_code for number in range(6)]

    assert other + first == [202] * 10 + [429] * 2
