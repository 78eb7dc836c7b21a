"""What holds for the change buffer when callers and runs meet in the middle."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest

from semilayer_pipelines.registry import changes, generations
from semilayer_pipelines.registry.changes import Action, Change
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.patience import PATIENCE_SECONDS, eventually
from tests.registry.given import NOW, build
from tests.registry.race import threads_at_once

WRITERS, READERS, EACH = 3, 2, 30


def test_every_accepted_change_is_claimed_exactly_once(registry: Registry, lens: Lens) -> None:
    accepted = threading.Barrier(WRITERS)
    over = threading.Event()

    def work(number: int) -> list[str]:
        if number < WRITERS:
            for turn in range(EACH):
                with registry.begin() as db:
                    changes.append(db, lens.id, [(f"{number}-{turn}", Action.UPSERT)], NOW)
            if accepted.wait(PATIENCE_SECONDS) == 0:
                over.set()
            return []
        claimed: list[str] = []
        while True:
            last_round = over.is_set()
            with registry.begin() as db:
                got = changes.claim(db, lens.id, job_id=f"job-{number}", limit=7, now=NOW)
                changes.ack(db, f"job-{number}", [change.key for change in got], NOW)
            claimed += [change.key for change in got]
            if last_round and not got:
                return claimed

    claimed = list(chain.from_iterable(threads_at_once(work, WRITERS + READERS)))

    assert sorted(claimed) == sorted(f"{w}-{t}" for w in range(WRITERS) for t in range(EACH))
    with registry.read() as db:
        assert changes.buffered(db, lens.id) == 0


def test_a_change_accepted_while_a_claim_runs_is_in_the_next_one(
    registry: Registry, lens: Lens
) -> None:
    # given: a run is in the middle of a claim that found nothing more
    claiming, wait = threading.Event(), threading.Event()
    with registry.begin() as db:
        changes.append(db, lens.id, [("first", Action.UPSERT)], NOW)

    def claim_slowly() -> None:
        with registry.begin() as db:
            changes.claim(db, lens.id, job_id="job-1", limit=10, now=NOW)
            claiming.set()
            assert wait.wait(PATIENCE_SECONDS)

    def accept() -> None:
        with registry.begin() as db:
            changes.append(db, lens.id, [("second", Action.UPSERT)], NOW)

    run, caller = threading.Thread(target=claim_slowly), threading.Thread(target=accept)
    run.start()
    assert claiming.wait(PATIENCE_SECONDS)

    # when: a change is accepted
    caller.start()
    time.sleep(0.1)
    wait.set()
    run.join()
    caller.join()

    # then: nothing is lost
    with registry.begin() as db:
        found = changes.claim(db, lens.id, job_id="job-1", limit=10, now=NOW)
    assert [change.key for change in found] == ["second"]


def test_a_number_that_is_visible_has_no_smaller_one_behind_it(
    registry: Registry, lens: Lens
) -> None:
    """The caller that came first commits last: the classic way to lose a change."""
    first_in, second_done = threading.Event(), threading.Event()

    def first() -> None:
        with registry.begin() as db:
            changes.append(db, lens.id, [("slow", Action.UPSERT)], NOW)
            first_in.set()
            # Without the lock the second caller would be done, with a larger number, by now.
            second_done.wait(0.3)

    def second() -> None:
        assert first_in.wait(PATIENCE_SECONDS)
        with registry.begin() as db:
            changes.append(db, lens.id, [("quick", Action.UPSERT)], NOW)
        second_done.set()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    # A reader that looks as soon as anything is visible must not see the larger number alone.
    seen: list[Change] = []

    def look() -> list[Change]:
        with registry.read() as db:
            seen[:] = changes.since(db, lens.id, 0, 10)
        return seen

    eventually(look)
    for thread in threads:
        thread.join()

    keys = [change.key for change in seen]
    assert keys[0] == "slow"
    with registry.read() as db:
        newer = changes.newer_than(db, lens.id, ["slow", "quick"], seen[-1].seq)
    assert newer == {"slow", "quick"} - set(keys)


def test_a_claim_beside_another_gets_the_next_ones_and_not_none(
    registry: Registry, lens: Lens
) -> None:
    """A run that gets nothing believes that the buffer is empty, and ends."""
    with registry.begin() as db:
        changes.append(db, lens.id, [(f"{n:02}", Action.UPSERT) for n in range(20)], NOW)
    first_claimed = threading.Event()

    def claim(number: int) -> list[str]:
        if number == 1:
            assert first_claimed.wait(PATIENCE_SECONDS)
        with registry.begin() as db:
            got = changes.claim(db, lens.id, job_id=f"job-{number}", limit=10, now=NOW)
            first_claimed.set()
            time.sleep(0.2 * (1 - number))
        return [change.key for change in got]

    first, second = threads_at_once(claim, 2)

    assert first == [f"{n:02}" for n in range(10)]
    assert second == [f"{n:02}" for n in range(10, 20)]


@pytest.mark.parametrize("turn", range(3))
def test_release_and_claim_at_once_lose_nothing(registry: Registry, lens: Lens, turn: int) -> None:
    keys = [f"{number}" for number in range(20)]
    with registry.begin() as db:
        changes.append(db, lens.id, [(key, Action.UPSERT) for key in keys], NOW)
        changes.claim(db, lens.id, job_id="dead", limit=10, now=NOW)

    def release_or_claim(number: int) -> set[str]:
        with registry.begin() as db:
            if number == 0:
                changes.release(db, "dead")
                return set()
            got = changes.claim(db, lens.id, job_id=f"job-{number}", limit=20, now=NOW)
            return {change.key for change in got}

    _, *claimed = threads_at_once(release_or_claim, 3)
    with registry.begin() as db:
        left = {c.key for c in changes.claim(db, lens.id, job_id="late", limit=20, now=NOW)}

    parts = [*claimed, left]
    assert sum(len(part) for part in parts) == 20
    assert set().union(*parts) == set(keys)


@pytest.mark.parametrize("first", ["acknowledged", "switched"])
def test_a_change_acknowledged_beside_a_switch_is_buffered_again_or_not_acknowledged(
    registry: Registry, lens: Lens, first: str
) -> None:
    """A run that found nothing to write acknowledges without the old index's lock."""
    # given a lens with an index in use, another one about to take its place, and a claimed change
    old = build(registry, lens)
    with registry.begin() as db:
        generations.publish(db, old.id, NOW)
    new = build(registry, lens, job_id="job-2")
    with registry.begin() as db:
        changes.append(db, lens.id, [("a", Action.UPSERT)], NOW)
        changes.claim(db, lens.id, job_id="records", limit=10, now=NOW)
    in_the_middle, switched = threading.Event(), threading.Event()

    def acknowledge() -> None:
        with registry.begin() as db:
            current = generations.active(db, lens.id, held=True)
            in_the_middle.set()
            if current is not None and current.id == old.id:
                # Unless it is held back, the switch is over by now.
                switched.wait(0.5)
                changes.ack(db, "records", ["a"], NOW)

    def switch() -> None:
        with registry.begin() as db:
            generations.publish(db, new.id, NOW)
            in_the_middle.set()
            time.sleep(0.3 if first == "switched" else 0)
            changes.reopen(db, lens.id, 0, begun_at=NOW)
        switched.set()

    # when both happen at once, whichever comes first
    began, follows = (acknowledge, switch) if first == "acknowledged" else (switch, acknowledge)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(began)
        assert in_the_middle.wait(PATIENCE_SECONDS)
        two = pool.submit(follows)
        one.result()
        two.result()

    # then the change is not taken for applied: it may not be in the new index
    with registry.begin() as db:
        changes.release(db, "records")
        left = changes.claim(db, lens.id, job_id="late", limit=10, now=NOW)
    assert [change.key for change in left] == ["a"]
