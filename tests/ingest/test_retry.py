"""What may pass is tried again, a bounded number of times; everything else is raised at once."""

from __future__ import annotations

import time

import pytest

from semilayer_pipelines.errors import SourceRefused, SourceUnreachable, StoreUnavailable
from semilayer_pipelines.ingest import retry
from semilayer_pipelines.ingest.retry import ATTEMPTS, retrying


class Action:
    """Raises the errors it is given, one a call, then returns its number of calls."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.02)


def test_what_passes_within_the_attempts_is_done_after_waits_that_double() -> None:
    action = Action(*(SourceUnreachable("down") for _ in range(ATTEMPTS - 1)))
    started = time.monotonic()

    assert retrying(action, SourceUnreachable) == ATTEMPTS

    # 0.02, 0.04 and 0.08 s, each at least seven tenths of that
    assert time.monotonic() - started >= 0.7 * 0.14


def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    errors = [SourceUnreachable(f"down, {number}") for number in range(10)]
    action = Action(*errors)

    with pytest.raises(SourceUnreachable) as raised:
        retrying(action, SourceUnreachable)

    assert raised.value is errors[ATTEMPTS - 1]
    assert action.calls == ATTEMPTS


@pytest.mark.parametrize(
    "error", [SourceRefused("no"), StoreUnavailable("other"), ValueError(), KeyboardInterrupt()]
)
def test_everything_else_is_raised_at_once(error: BaseException) -> None:
    action = Action(error)

    with pytest.raises(type(error)) as raised:
        retrying(action, SourceUnreachable)

    assert raised.value is error
    assert action.calls == 1
