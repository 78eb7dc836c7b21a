"""The pace of an endpoint: no minute has more than its limit, and questions go before pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from semilayer_pipelines.embedders.minute import Minute
from semilayer_pipelines.embedders.pace import LONGEST_RESET_S, Pace


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.25
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.slept += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pace_of(clock: Clock, requests: int | None = None, tokens: int | None = None) -> Pace:
    return Pace(requests=requests, tokens=tokens, clock=clock, sleep=clock.sleep)


def times(pace: Pace, clock: Clock, costs: list[int], *, question: bool = False) -> list[float]:
    """Return when each request was let pass."""

    async def passed() -> list[float]:
        at = []
        for cost in costs:
            await pace.pass_(cost, question=question)
            at.append(clock.now)
        return at

    return asyncio.run(passed())


@pytest.mark.parametrize("limit", [1, 3, 7, 60, 500])
def test_no_minute_has_more_requests_than_the_limit(clock: Clock, limit: int) -> None:
    at = times(pace_of(clock, requests=limit), clock, [1] * (3 * limit))

    assert all(sum(start <= t <= start + 60 for t in at) <= limit for start in at)
    # and the limit is used: what ingest leaves to questions is the most that is lost of it
    assert at[-1] - at[0] <= 60 * 3 * limit / max(1, limit - int(limit * 0.05)) + 15


@pytest.mark.parametrize("cost", [100, 990, 3_000])
def test_no_minute_has_more_tokens_than_the_limit(clock: Clock, cost: int) -> None:
    at = times(pace_of(clock, tokens=6_000), clock, [cost] * (24_000 // cost))

    assert all(sum(start <= t <= start + 60 for t in at) * cost <= 6_000 for start in at)


def test_a_limit_is_spent_evenly_not_in_bursts(clock: Clock) -> None:
    at = times(pace_of(clock, requests=600), clock, [1] * 300)

    assert sum(t < at[0] + 5 for t in at) <= 100


def test_a_text_that_fits_into_no_minute_goes_alone(clock: Clock) -> None:
    at = times(pace_of(clock, tokens=1_000), clock, [10, 5_000, 10])

    assert at[1] - at[0] >= 60
    assert at[2] - at[1] >= 60


def test_a_question_passes_while_pages_wait(clock: Clock) -> None:
    pace = pace_of(clock, tokens=6_000)
    times(pace, clock, [950] * 6)

    before = clock.now
    [at] = times(pace, clock, [20], question=True)

    assert at - before <= 1


def test_pages_wait_while_the_headers_leave_too_little(clock: Clock) -> None:
    pace = pace_of(clock)

    async def ask() -> tuple[float, float]:
        ticket = await pace.pass_(100, question=False)
        pace.answered(
            ticket,
            {"x-ratelimit-remaining-tokens": "50", "x-ratelimit-reset-tokens": "6m0s"},
        )
        started = clock.now
        await pace.pass_(20, question=False)
        small = clock.now - started
        await pace.pass_(100, question=False)
        return small, clock.now - started

    small, large = asyncio.run(ask())

    assert small == 0
    assert 360 <= large <= 361


def test_the_limit_of_a_project_holds_beside_that_of_its_account(clock: Clock) -> None:
    pace = pace_of(clock)
    told = {
        "x-ratelimit-remaining-tokens": "20000",
        "x-ratelimit-reset-tokens": "1s",
        "x-ratelimit-limit-project-tokens": "1000",
        "x-ratelimit-remaining-project-tokens": "0",
        "x-ratelimit-reset-project-tokens": "45s",
    }

    async def ask() -> None:
        pace.answered(await pace.pass_(100, question=False), told)
        await pace.pass_(100, question=False)

    asyncio.run(ask())

    assert 45 <= clock.slept <= 46


def test_a_limit_that_is_whole_again_tomorrow_is_left_to_the_endpoint(clock: Clock) -> None:
    pace = pace_of(clock)
    reset = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "24h"}

    async def ask() -> None:
        pace.answered(await pace.pass_(1, question=False), reset)
        await pace.pass_(1, question=False)

    asyncio.run(ask())

    assert LONGEST_RESET_S < 86_400
    assert clock.slept == 0


def test_all_wait_as_long_as_a_refusal_asks(clock: Clock) -> None:
    pace = pace_of(clock)

    async def ask() -> None:
        pace.refused(await pace.pass_(1, question=False), {}, 7.5)
        await asyncio.gather(pace.pass_(1, question=False), pace.pass_(1, question=True))

    asyncio.run(ask())

    assert clock.slept == pytest.approx(7.5, abs=0.01)


def test_places_begin_with_one_and_are_halved_by_a_refusal(clock: Clock) -> None:
    pace = pace_of(clock)

    async def most_at_once(requests: int) -> int:
        under_way = most = 0

        async def request() -> None:
            nonlocal under_way, most
            async with pace.place(8):
                under_way += 1
                most = max(most, under_way)
                ticket = await pace.pass_(1, question=False)
                await asyncio.sleep(0)
                pace.answered(ticket, {})
                under_way -= 1

        await asyncio.gather(*(request() for _ in range(requests)))
        return most

    async def ask() -> tuple[int, int, int]:
        first, full = await most_at_once(1), await most_at_once(40)
        async with pace.place(8), pace.place(8), pace.place(8), pace.place(8):
            for _ in range(4):  # of one moment, and so counted as one
                pace.refused(await pace.pass_(1, question=False), {}, None)
        return first, full, await most_at_once(3)

    assert asyncio.run(ask()) == (1, 8, 2)


def test_charges_take_the_place_of_estimates(clock: Clock) -> None:
    pace = pace_of(clock, tokens=1_000)

    async def ask() -> None:
        for _ in range(6):
            ticket = await pace.pass_(100, question=False)
            pace.answered(ticket, {})
            pace.charged(ticket, 10)

    asyncio.run(ask())

    assert clock.slept == 0


def test_two_processes_count_in_one_file(clock: Clock, tmp_path: Path) -> None:
    one, other = (Minute(tmp_path / "minutes" / "a", clock) for _ in range(2))
    with one.held():
        one.add(30)
        one.block(5)

    assert other.spent(60) == (1, 30)
    assert other.blocked(60) == pytest.approx(5, abs=0.01)
    clock.now += 62
    assert other.spent(60) == (0, 0)
    assert other.blocked(60) == 0


def test_a_file_that_cannot_be_used_costs_only_the_sharing(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "minutes").touch()
    alone = Minute(tmp_path / "minutes" / "a", clock)

    alone.add(7)

    assert alone.spent(60) == (1, 7)


def test_a_clock_that_was_set_back_blocks_nobody(clock: Clock) -> None:
    minute = Minute(None, clock)
    minute.add(7)
    minute.block(50)

    clock.now -= 3_600

    assert minute.spent(60) == (0, 0)
    assert minute.blocked(60) == 0


def test_a_clock_that_was_set_back_keeps_no_page_waiting_and_no_wait_from_others(
    clock: Clock,
) -> None:
    # given a limit that is spent for a minute, and a refusal
    pace, spent = pace_of(clock), {"x-ratelimit-remaining-requests": "0"}
    spent["x-ratelimit-reset-requests"] = "60s"

    async def set_back() -> tuple[float, float]:
        pace.refused(await pace.pass_(1, question=False), spent, 50)
        clock.now -= 3_600
        await pace.pass_(1, question=False)
        waited = clock.slept
        pace.refused(await pace.pass_(1, question=True), {}, 20)
        await pace.pass_(1, question=False)
        return waited, clock.slept - waited

    of_told, of_refusal = asyncio.run(set_back())

    assert of_told == 0
    assert of_refusal == pytest.approx(20, abs=1)


def test_a_broken_file_is_begun_again(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"torn")

    minute = Minute(tmp_path / "a", clock)
    minute.add(7)

    assert minute.spent(60) == (1, 7)
