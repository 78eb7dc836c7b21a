"""Changes whose rows are not there yet, or are called otherwise than they were told."""

from __future__ import annotations

from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Change
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.buffer import ack, append, buffered, claim, shown
from tests.registry.given import at


def claim_at(registry: Registry, lens: Lens, seconds: float, job_id: str = "job-1") -> list[Change]:
    with registry.begin() as db:
        return changes.claim(db, lens.id, job_id=job_id, limit=100, now=at(seconds))


def put_off(registry: Registry, until: float, *keys: str) -> None:
    with registry.begin() as db:
        changes.put_off(db, "job-1", keys, at(until))


def test_what_is_put_off_is_claimed_by_nobody_before_its_time(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a", "+b", "+c")
    claim(registry, lens)
    ack(registry, ["c"])
    put_off(registry, 5, "a")
    put_off(registry, 9, "b")

    with registry.read() as db:
        assert (changes.awaited(db, lens.id), changes.next_look(db, lens.id)) == (2, at(5))
    assert buffered(registry, lens) == 2
    assert claim_at(registry, lens, 4.9) == []
    assert [(c.key, c.looks) for c in claim_at(registry, lens, 5)] == [("a", 1)]
    put_off(registry, 30, "a")
    assert shown(claim_at(registry, lens, 9)) == ["+b"]
    assert [(c.key, c.looks) for c in claim_at(registry, lens, 30)] == [("a", 2)]


def test_a_look_that_found_the_row_ends_the_count_of_those_in_vain(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a")
    looks = []
    for found in (False, True, True, False, False):
        claim_at(registry, lens, 0)
        with registry.begin() as db:
            changes.put_off(db, "job-1", ["a"], at(0), found=found)
        with registry.read() as db:
            waits = (changes.awaited(db, lens.id), changes.looked_at(db, lens.id))
        [change] = claim_at(registry, lens, 0)
        looks.append((change.looks, *waits))
        with registry.begin() as db:
            changes.release(db, "job-1")

    # then only what was looked for in vain is told as a row that was not there
    assert looks == [(1, 1, 1), (-1, 0, 1), (-2, 0, 1), (1, 1, 1), (2, 1, 1)]


def test_a_newer_change_of_its_key_takes_the_one_that_was_put_off_with_it(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a", "+b")
    claim(registry, lens)
    put_off(registry, 60, "a", "b")
    append(registry, lens, "-a", "+b")

    claimed = claim_at(registry, lens, 1)

    assert shown(claimed) == ["-a", "+b"]
    assert [change.looks for change in claimed] == [0, 0]
    assert ack(registry, ["a", "b"]) == 4
    assert buffered(registry, lens) == 0


def test_what_another_job_has_is_neither_put_off_nor_renamed(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a", "+b")
    claim(registry, lens, "job-2")

    put_off(registry, 60, "a")
    with registry.begin() as db:
        changes.rename(db, "job-1", {"b": "B"})
        assert changes.release(db, "job-2") == 2

    assert shown(claim_at(registry, lens, 0)) == ["+a", "+b"]


def test_a_renamed_change_is_known_to_the_whole_log_by_its_new_key(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+Alice", "-alice", "+bob")
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id) - 2
    claim(registry, lens)

    with registry.begin() as db:
        changes.rename(db, "job-1", {"alice": "Alice"})

    with registry.read() as db:
        assert changes.newer_than(db, lens.id, ["Alice", "alice"], seq) == {"Alice"}
        assert changes.newest(db, lens.id, ["Alice", "alice", "bob"]) == {
            "Alice": seq + 1,
            "bob": seq + 2,
        }
        assert shown(changes.since(db, lens.id, 0, 10)) == ["+Alice", "-Alice", "+bob"]
    assert ack(registry, ["Alice"]) == 2
