from __future__ import annotations

import random
from datetime import datetime, timedelta

from sqlalchemy import text

from semilayer_pipelines.registry import call_log, changes
from semilayer_pipelines.registry.call_log import Admitted
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, make_lens
from tests.registry.race import processes_at_once


def admit(
    registry: Registry, lens: Lens, now: datetime, *, calls: int = 1, limit: int = 3
) -> Admitted:
    with registry.begin() as db:
        changes.append(db, lens.id, (), now)
        return call_log.admit(db, lens.id, calls=calls, limit=limit, now=now)


def test_calls_are_admitted_up_to_the_limit_and_again_when_the_oldest_left_the_window(
    registry: Registry, lens: Lens
) -> None:
    admitted = [admit(registry, lens, at(second)) for second in (0, 10, 20, 30, 59.5, 60, 61)]

    assert admitted == [
        Admitted(1, 2, 0),
        Admitted(1, 1, 0),
        Admitted(1, 0, 40),
        Admitted(0, 0, 30),
        Admitted(0, 0, 1),
        Admitted(1, 0, 10),
        Admitted(0, 0, 9),
    ]


def test_after_the_wait_that_was_told_the_call_is_admitted_and_not_a_second_before(
    registry: Registry, lens: Lens
) -> None:
    for second in (0.25, 3.5, 7.75):
        admit(registry, lens, at(second))
    wait = admit(registry, lens, at(8)).retry_after

    assert admit(registry, lens, at(8 + wait - 1)).calls == 0
    assert admit(registry, lens, at(8 + wait)).calls == 1


def test_refused_calls_do_not_count(registry: Registry, lens: Lens) -> None:
    admit(registry, lens, at(0), calls=3)
    for second in range(1, 60):
        assert admit(registry, lens, at(second)).calls == 0

    assert admit(registry, lens, at(60), calls=3).calls == 3


def test_of_calls_that_come_together_as_many_as_fit_are_admitted(
    registry: Registry, lens: Lens
) -> None:
    assert admit(registry, lens, at(0), calls=2) == Admitted(2, 1, 0)
    assert admit(registry, lens, at(1), calls=5) == Admitted(1, 0, 59)


def test_a_lowered_limit_holds_at_once(registry: Registry, lens: Lens) -> None:
    for second in range(5):
        admit(registry, lens, at(second), limit=5)

    lowered = admit(registry, lens, at(10), limit=2)

    assert lowered == Admitted(0, 0, 53)  # all but the last one have to leave
    assert admit(registry, lens, at(63), limit=2).calls == 1


def test_every_lens_has_a_window_of_its_own(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "other")
    admit(registry, lens, at(0), calls=3)

    assert admit(registry, other, at(1)).calls == 1


def test_no_window_of_60_seconds_ever_holds_more_than_the_limit(
    registry: Registry, lens: Lens
) -> None:
    chance, now, admitted = random.Random(5), NOW, []
    for _ in range(150):
        now += timedelta(seconds=chance.expovariate(0.3))
        calls = chance.randint(1, 4)
        admitted += [now] * admit(registry, lens, now, calls=calls, limit=7).calls

    for first in admitted:
        assert sum(first <= one < first + call_log.WINDOW for one in admitted) <= 7
    assert len(admitted) > 40


def test_the_log_keeps_the_last_minute_only(registry: Registry, lens: Lens) -> None:
    for second in range(0, 600, 30):
        admit(registry, lens, at(second))

    with registry.read() as db:
        assert db.execute(text("SELECT count(*) FROM sl_calls")).scalar_one() <= 3


def ask_often(url: str, _: int) -> int:
    registry, admitted = Registry.open(url), 0
    with registry.read() as db:
        lens_id = db.execute(text("SELECT id FROM sl_lenses")).scalar_one()
    for _number in range(15):
        with registry.begin() as db:
            changes.append(db, lens_id, (), NOW)
            admitted += call_log.admit(db, lens_id, calls=1, limit=20, now=NOW).calls
    registry.close()
    return admitted


def test_eight_processes_at_once_get_exactly_the_limit(
    registry: Registry, registry_url: str, lens: Lens
) -> None:
    assert sum(processes_at_once(ask_often, registry_url, times=8)) == 20
