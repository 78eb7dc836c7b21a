"""When the same request is sent again, and when no more.

Knows nothing of embeddings: an attempt says with `MayPass` that it failed for now, and what the
endpoint asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
)

__all__ = [
    "MAX_ATTEMPTS",
    "MAX_LATE",
    "MAX_LIMITED",
    "MAX_WAIT_S",
    "GivenUp",
    "MayPass",
    "send",
    "send_async",
    "wait_before_retry",
]

MAX_ATTEMPTS = 6
"""How often one request is sent at most."""

MAX_LATE = 2
"""How often at most, when its answer does not end in time: each attempt costs minutes then."""

MAX_LIMITED = 20
"""How often at most, when all that the endpoint says is that it was asked too often."""

MAX_WAIT_S = 60.0
"""The longest wait between two attempts; an endpoint that asks for more is given up at once."""

_FIRST_WAIT_S = 0.5

T = TypeVar("T")


class MayPass(Exception):
    """An attempt failed and may be repeated; the endpoint `asked` to wait so many seconds.

    `late`: its answer was not whole after the longest time that one may take. `limited`: the
    endpoint was asked too often, and nothing is wrong with it.
    """

    def __init__(
        self,
        reason: str,
        asked: float | None = None,
        *,
        late: bool = False,
        limited: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.asked = asked
        self.late = late
        self.limited = limited


class GivenUp(Exception):
    """All attempts failed; `reason` is that of the last one."""

    def __init__(self, attempts: int, reason: str) -> None:
        super().__init__(reason)
        self.attempts = attempts
        self.reason = reason


def send(
    attempt: Callable[[], T],
    *,
    sleep: Callable[[float], None],
    random: Callable[[], float],
) -> T:
    """Call `attempt` until it does not raise `MayPass`; raise `GivenUp` when that gets nowhere.

    `random` gives a number in [0, 1) and spreads callers that failed together.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(MayPass),
        stop=_hopeless,
        wait=lambda state: wait_before_retry(state.attempt_number, _failure(state).asked, random),
        sleep=sleep,
    )
    try:
        return attempts(attempt)
    except RetryError as error:
        raise _given_up(error) from None


async def send_async(
    attempt: Callable[[], Awaitable[T]],
    *,
    sleep: Callable[[float], Awaitable[None]],
    random: Callable[[], float],
) -> T:
    """Do the same with an attempt that is awaited."""
    attempts = AsyncRetrying(
        retry=retry_if_exception_type(MayPass),
        stop=_hopeless,
        wait=lambda state: wait_before_retry(state.attempt_number, _failure(state).asked, random),
        sleep=sleep,
    )
    try:
        return await attempts(attempt)
    except RetryError as error:
        raise _given_up(error) from None


def wait_before_retry(failures: int, asked: float | None, random: Callable[[], float]) -> float:
    """Return the seconds to wait after `failures` failed attempts (1 or more).

    The wait doubles with each failure, and is never shorter than what the endpoint `asked` for.
    """
    doubled = min(MAX_WAIT_S, _FIRST_WAIT_S * 2.0 ** (failures - 1))
    spread = random()
    return max(doubled * (0.5 + spread / 2), (asked or 0.0) + spread * _FIRST_WAIT_S)


def _hopeless(state: RetryCallState) -> bool:
    failure = _failure(state)
    attempts = MAX_LATE if failure.late else MAX_LIMITED if failure.limited else MAX_ATTEMPTS
    return state.attempt_number >= attempts or _asks_too_much(failure)


def _asks_too_much(failure: MayPass) -> bool:
    return failure.asked is not None and failure.asked > MAX_WAIT_S


def _failure(state: RetryCallState) -> MayPass:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, MayPass)
    return failure


def _given_up(error: RetryError) -> GivenUp:
    last = error.last_attempt
    failure = last.exception()
    assert isinstance(failure, MayPass)
    return GivenUp(last.attempt_number, _said(failure))


def _said(failure: MayPass) -> str:
    asks = f" (asks to wait {failure.asked:.0f} s)" if _asks_too_much(failure) else ""
    return f"{failure.reason}{asks}"
