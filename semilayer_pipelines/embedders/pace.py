"""How fast one endpoint may be asked: by the limits that a lens names and those the endpoint tells.

Every request of this process to the same endpoint, model and key passes here, whichever lens it is
of. Pages leave a share of each limit to questions, and questions do not queue behind pages.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from semilayer_pipelines.config.embedding import MAX_CONCURRENCY
from semilayer_pipelines.embedders.minute import Minute
from semilayer_pipelines.embedders.rate_headers import KINDS, left
from semilayer_pipelines.embedders.retry import MAX_WAIT_S

__all__ = ["LONGEST_RESET_S", "QUESTIONS_SHARE", "Pace", "Ticket"]

QUESTIONS_SHARE = 0.05
"""Share of a rate limit that ingest leaves to questions."""

LONGEST_RESET_S = 600.0
"""A limit that is whole again later than this is left to the endpoint's own refusals."""

_SMOOTH_S = 10  # providers judge a minute's limit by parts of it
_MINUTE_S = 60
_LOOK_AGAIN_S = 1.0
_GROWTH = 0.1


@dataclass(frozen=True)
class Ticket:
    """A request that may be sent; `second` is the one it counts for."""

    tokens: int
    second: int


@dataclass
class _Told:
    """What the endpoint's headers leave until `until`; then it is `limit` again, where known.

    `kept` of it is left to questions.
    """

    left: float
    until: float
    limit: int | None

    @property
    def kept(self) -> int:
        return int((self.limit or 0) * QUESTIONS_SHARE)


class Pace:
    """Lets requests to one endpoint pass; used on one event loop.

    `requests` and `tokens` are the limits of a minute, `None` where only the endpoint tells.
    """

    def __init__(
        self,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        minute: Minute | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = (requests, tokens)
        self._minute = minute or Minute(None, clock)
        self._clock = clock
        self._sleep = sleep
        self._told: dict[str, _Told] = {}
        self._places = asyncio.Condition()
        self._next = asyncio.Lock()
        self._proven = False
        self._allowed = float(MAX_CONCURRENCY)
        self._under_way: dict[Ticket, int] = {}
        self._taken = 0
        self._refused_at = 0.0
        self._questions = 0

    def lower(self, requests: int | None, tokens: int | None) -> None:
        """Take the limits of one more lens: the lower of two counts."""
        mine = zip(self._limits, (requests, tokens), strict=True)
        lowest = [min((n for n in pair if n is not None), default=None) for pair in mine]
        self._limits = (lowest[0], lowest[1])

    @asynccontextmanager
    async def place(self, most: int) -> AsyncIterator[None]:
        """Hold one of the places for requests of pages, of which there are `most` or fewer.

        There is one until the endpoint has answered. Refusals halve them, answers bring them back.
        """
        async with self._places:
            await self._places.wait_for(lambda: self._taken < self._open(most))
            self._taken += 1
        try:
            yield
        finally:
            async with self._places:
                self._taken -= 1
                self._places.notify_all()

    async def pass_(self, tokens: int, *, question: bool) -> Ticket:
        """Wait until a request of about so many tokens may be sent, and count it."""
        if question:
            self._questions += 1
            try:
                return await self._passed(tokens, question=True)
            finally:
                self._questions -= 1
        async with self._next:
            return await self._passed(tokens, question=False)

    def answered(self, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """Note an answer, and what it tells of the endpoint's limits."""
        self._ended(ticket)
        self._heed(headers)
        self._proven = True
        self._allowed = min(MAX_CONCURRENCY, self._allowed + _GROWTH)

    def charged(self, ticket: Ticket, tokens: int) -> None:
        """Count what the endpoint charged for a request, instead of the estimate."""
        with self._minute.held() as minute:
            minute.correct(ticket.second, tokens - ticket.tokens)

    def refused(self, ticket: Ticket, headers: Mapping[str, str], asked: float | None) -> None:
        """Note that the endpoint is overloaded, or sent too much; it `asked` to wait so long."""
        self._ended(ticket)
        self._heed(headers)
        if asked is not None and asked <= MAX_WAIT_S:
            with self._minute.held() as minute:
                if minute.blocked(MAX_WAIT_S) < asked:
                    minute.block(asked)
        now = self._clock()
        if now - self._refused_at >= _LOOK_AGAIN_S:
            # Once for all requests that were under way together.
            self._allowed = max(1.0, self._taken / 2)
        self._refused_at = now

    def doubted(self, ticket: Ticket) -> None:
        """Note that the endpoint refuses what it got: ask less of it until it takes something."""
        self._ended(ticket)
        self._proven = False

    def lost(self, ticket: Ticket) -> None:
        """Note that no answer came."""
        self._ended(ticket)

    def _open(self, most: int) -> int:
        return min(most, int(self._allowed)) if self._proven else 1

    async def _passed(self, tokens: int, *, question: bool) -> Ticket:
        while True:
            with self._minute.held() as minute:
                wait = minute.blocked(MAX_WAIT_S) or self._wait(tokens, question=question)
                if not wait:
                    ticket = Ticket(tokens, minute.add(tokens))
                    self._under_way[ticket] = self._under_way.get(ticket, 0) + 1
                    self._count_told(tokens)
                    return ticket
            await self._sleep(wait)

    def _wait(self, tokens: int, *, question: bool) -> float:
        """Return how long to wait before the next look, 0 when the request may be sent."""
        now = self._clock()
        next_second = int(now) + 1 - now
        if not self._has_room(tokens, question=question):
            return next_second
        if question:
            return 0.0
        if self._questions:
            return min(next_second, 0.05)
        until = self._told_until(tokens, now)
        return min(until - now, _LOOK_AGAIN_S) if until else 0.0

    def _has_room(self, tokens: int, *, question: bool) -> bool:
        minute, lately = self._minute.spent(_MINUTE_S), self._minute.spent(_SMOOTH_S)
        for limit, cost, in_minute, of_late in zip(
            self._limits, (1, tokens), minute, lately, strict=True
        ):
            if limit is None:
                continue
            kept = 0 if question else int(limit * QUESTIONS_SHARE)
            # What does not fit into any minute goes alone, and the endpoint judges it.
            if in_minute and in_minute + cost > limit - kept:
                return False
            share = math.ceil(limit * _SMOOTH_S / _MINUTE_S)
            if not question and of_late and of_late + cost > share:
                return False
        return True

    def _told_until(self, tokens: int, now: float) -> float | None:
        """Return until when the endpoint's headers leave too little; `None` for enough."""
        waits = []
        for name, cost in _costs(1, tokens):
            told = self._told.get(name)
            if told is None:
                continue
            # One that is whole later than any is was told before the clock was set back.
            if now < told.until <= now + LONGEST_RESET_S:
                waits += [told.until] if _lacks(told, cost) else []
            elif told.limit is None:
                del self._told[name]
            else:
                self._told[name] = _Told(told.limit, now + _MINUTE_S, told.limit)
        return max(waits, default=None)

    def _count_told(self, tokens: int) -> None:
        for name, cost in _costs(1, tokens):
            if name in self._told:
                self._told[name].left -= cost

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Take what is left from the headers; requests under way may not be counted in it yet."""
        now = self._clock()
        requests = sum(self._under_way.values())
        tokens = sum(one.tokens * number for one, number in self._under_way.items())
        for name, pending in _costs(requests, tokens):
            told = left(headers, name)
            if told is None or told.reset > LONGEST_RESET_S:
                continue
            self._told[name] = _Told(told.remaining - pending, now + told.reset, told.limit)

    def _ended(self, ticket: Ticket) -> None:
        number = self._under_way.pop(ticket, 0) - 1
        if number > 0:
            self._under_way[ticket] = number


def _costs(requests: int, tokens: int) -> list[tuple[str, int]]:
    """Return what so many requests, with so many tokens in all, take of each limit."""
    return [(kind, requests if kind == "requests" else tokens) for kind in KINDS]


def _lacks(told: _Told, cost: int) -> bool:
    # What does not fit into any minute goes alone, and the endpoint judges it.
    alone = told.limit is not None and told.left >= told.limit
    return told.left - cost < told.kept and not alone
