from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import event, func, select

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import changes, lenses, tables
from semilayer_pipelines.registry.changes import Action, Change
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, build, make_lens

UPSERT, DELETE = Action.UPSERT, Action.DELETE


def append(registry: Registry, lens: Lens, *given: str) -> int:
    """Append changes: `+a` upserts a, `-a` deletes it."""
    actions = {"+": UPSERT, "-": DELETE}
    with registry.begin() as db:
        return changes.append(db, lens.id, [(x[1:], actions[x[0]]) for x in given], NOW)


def claim(registry: Registry, lens: Lens, job_id: str = "job-1", limit: int = 100) -> list[Change]:
    with registry.begin() as db:
        return changes.claim(db, lens.id, job_id=job_id, limit=limit, now=NOW)


def ack(registry: Registry, keys: Sequence[str], job_id: str = "job-1") -> int:
    with registry.begin() as db:
        return changes.ack(db, job_id, keys, at(1))


def prune(registry: Registry, applied_before: float) -> int:
    with registry.begin() as db:
        return changes.prune(db, at(applied_before), after=0, limit=100).changes


def shown(claimed: list[Change]) -> list[str]:
    return [("+" if change.action is UPSERT else "-") + change.key for change in claimed]


def buffered(registry: Registry, lens: Lens) -> int:
    """Return the size of the buffer, which must be that of the rows counted."""
    with registry.read() as db:
        told = changes.buffered(db, lens.id)
        waiting = tables.changes.c.applied_at.is_(None) & (tables.changes.c.lens_id == lens.id)
        assert told == db.scalar(select(func.count()).where(waiting))
    return told


def test_appended_changes_are_claimed_in_their_order(registry: Registry, lens: Lens) -> None:
    assert append(registry, lens, "+b", "-a", "+c") == 3
    assert append(registry, lens, "-d") == 4

    claimed = claim(registry, lens)

    assert shown(claimed) == ["+b", "-a", "+c", "-d"]
    assert [change.seq for change in claimed] == sorted(change.seq for change in claimed)


def test_the_last_action_of_a_key_wins_and_covers_the_older_ones(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a", "+b", "-a", "-b", "+a")

    claimed = claim(registry, lens)
    applied = ack(registry, ["a"])

    assert shown(claimed) == ["-b", "+a"]
    assert applied == 3
    assert buffered(registry, lens) == 2


def test_a_claim_takes_the_oldest_and_all_there_is_of_their_keys(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a", "+b", "+c", "-a")

    assert shown(claim(registry, lens, limit=2)) == ["+b", "-a"]
    assert shown(claim(registry, lens, limit=2)) == ["+c"]
    assert claim(registry, lens, limit=2) == []


def test_what_one_job_claimed_no_other_gets(registry: Registry, lens: Lens) -> None:
    append(registry, lens, "+a", "+b")
    claim(registry, lens, "job-1", limit=1)

    assert shown(claim(registry, lens, "job-2")) == ["+b"]
    assert ack(registry, ["a", "b"], "job-2") == 1
    assert buffered(registry, lens) == 1


def test_a_change_that_arrives_after_the_claim_stays_for_the_next(
    registry: Registry, lens: Lens
) -> None:
    # given: a key is claimed, and changes again while it is being written
    append(registry, lens, "+a")
    claim(registry, lens)
    append(registry, lens, "-a")

    # when: what was written is acknowledged
    ack(registry, ["a"])

    # then: the later change is still there
    assert buffered(registry, lens) == 1
    assert shown(claim(registry, lens)) == ["-a"]


def test_released_changes_are_claimed_again_and_applied_ones_are_not(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a", "+b", "-a")
    claim(registry, lens)
    ack(registry, ["b"])

    with registry.begin() as db:
        assert changes.release(db, "job-1") == 2
        assert changes.release(db, "job-1") == 0

    assert ack(registry, ["a"]) == 0
    assert shown(claim(registry, lens, "job-2")) == ["-a"]


def test_lenses_have_buffers_of_their_own(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "orders")
    append(registry, lens, "+a")

    assert append(registry, other, "+a", "+b") == 2
    assert buffered(registry, lens) == 1
    assert shown(claim(registry, other)) == ["+a", "+b"]
    assert buffered(registry, make_lens(registry, "empty")) == 0


def test_appending_nothing_tells_the_size(registry: Registry, lens: Lens) -> None:
    assert append(registry, lens) == 0
    append(registry, lens, "+a")
    assert append(registry, lens) == 1


def test_changes_of_a_removed_lens_are_refused(registry: Registry, lens: Lens) -> None:
    with registry.begin() as db:
        lenses.remove(db, lens.id)

    with pytest.raises(NotFound, match="removed"):
        append(registry, lens, "+a")


def test_ten_thousand_changes_take_as_many_statements_as_one(
    registry: Registry, lens: Lens
) -> None:
    statements: list[str] = []
    event.listen(
        registry.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )

    append(registry, lens, "+a")
    for_one = len(statements)
    size = append(registry, lens, *(f"+{number}" for number in range(10_000)))

    assert size == 10_001
    assert len(statements) == 2 * for_one
    assert len(claim(registry, lens, limit=10_000)) == 10_000


def test_keys_with_a_newer_change_are_found_applied_or_not(registry: Registry, lens: Lens) -> None:
    append(registry, lens, "+a", "+b")
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id)
        assert changes.newer_than(db, lens.id, ["a", "b"], seq) == set()
    append(registry, lens, "-a", "+a", "+c", "+d")
    claim(registry, lens)
    ack(registry, ["a", "c"])

    with registry.read() as db:
        assert changes.newer_than(db, lens.id, ["a", "b", "d", "zz"], seq) == {"a", "d"}
        assert changes.newer_than(db, lens.id, [], seq) == set()
        assert changes.newer_than(db, lens.id, ["a"], changes.latest_seq(db, lens.id)) == set()


def test_the_log_is_read_from_any_point_in_order(registry: Registry, lens: Lens) -> None:
    append(registry, lens, "+a", "+b")
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id)
    append(registry, make_lens(registry, "orders"), "+elsewhere")
    append(registry, lens, "-a", "+c", "+a")
    claim(registry, lens)
    ack(registry, ["c"])

    with registry.read() as db:
        first = changes.since(db, lens.id, seq, 2)
        rest = changes.since(db, lens.id, first[-1].seq, 2)
        assert changes.since(db, lens.id, rest[-1].seq, 2) == []
    assert (shown(first), shown(rest)) == (["-a", "+c"], ["+a"])


def test_a_lens_without_changes_is_at_zero(registry: Registry, lens: Lens) -> None:
    with registry.read() as db:
        assert changes.latest_seq(db, lens.id) == 0
        assert changes.since(db, lens.id, 0, 10) == []


def test_old_applied_changes_are_pruned_and_their_numbers_not_used_again(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a", "+b")
    claim(registry, lens)
    ack(registry, ["a", "b"])
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id)

    assert prune(registry, 1) == 0
    assert prune(registry, 2) == 2
    append(registry, lens, "+c")

    with registry.read() as db:
        assert changes.latest_seq(db, lens.id) > seq


def test_changes_that_a_rebuild_has_yet_to_replay_are_not_pruned(
    registry: Registry, lens: Lens
) -> None:
    # given: one change before a rebuild began, one after; both applied to the old index
    append(registry, lens, "+before")
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id)
    build(registry, lens, change_seq=seq)
    append(registry, lens, "+after")
    claim(registry, lens)
    ack(registry, ["before", "after"])

    # when
    pruned = prune(registry, 1_000_000)

    # then
    assert pruned == 1
    with registry.read() as db:
        assert shown(changes.since(db, lens.id, seq, 10)) == ["+after"]


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


def test_what_waits_for_some_keys_is_what_was_not_applied_or_came_later(
    registry: Registry, lens: Lens
) -> None:
    other = make_lens(registry, "orders")
    append(registry, other, "+a")
    append(registry, lens, "+a", "+b", "-a")
    claim(registry, lens)
    ack(registry, ["a", "b"])
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id)
    append(registry, lens, "-c")

    def waiting(after: int) -> list[str]:
        with registry.read() as db:
            return shown(changes.waiting(db, lens.id, ["a", "b", "c"], after))

    assert waiting(seq) == ["-c"]
    assert waiting(0) == ["+a", "+b", "-a", "-c"]


def test_what_a_walk_writes_is_in_the_log_and_waits_for_nobody(
    registry: Registry, lens: Lens
) -> None:
    append(registry, lens, "+a")
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id)

    with registry.begin() as db:
        changes.log(db, lens.id, ["b", "c"], job_id="walk", now=NOW)

    with registry.read() as db:
        assert shown(changes.since(db, lens.id, seq, 10)) == ["+b", "+c"]
        # A walk may have read its row before the one that asks; only callers tell of newer ones.
        assert changes.newer_than(db, lens.id, ["a", "b", "c"], seq) == set()
    assert buffered(registry, lens) == 1
    assert shown(claim(registry, lens)) == ["+a"]


def test_a_log_is_read_to_where_it_ended_a_while_ago(registry: Registry, lens: Lens) -> None:
    append(registry, lens, "+a", "+b")
    with registry.read() as db:
        end = changes.latest_seq(db, lens.id)
    append(registry, lens, "+c")

    with registry.read() as db:
        assert shown(changes.since(db, lens.id, 0, 10, upto=end)) == ["+a", "+b"]
        assert changes.since(db, lens.id, end, 10, upto=end) == []


def test_what_was_applied_after_a_point_is_buffered_again_and_claimed(
    registry: Registry, lens: Lens
) -> None:
    # given changes applied before and after a point, one that waits, and one of another lens
    append(registry, lens, "+before")
    claim(registry, lens)
    ack(registry, ["before"])
    with registry.read() as db:
        seq = changes.latest_seq(db, lens.id)
    other = make_lens(registry, "orders")
    append(registry, other, "+elsewhere")
    claim(registry, other)
    ack(registry, ["elsewhere"])
    append(registry, lens, "-after", "+claimed")
    claim(registry, lens)
    ack(registry, ["after"])
    append(registry, lens, "+waits")
    with registry.begin() as db:
        changes.log(db, lens.id, ["walked"], job_id="walk", now=NOW)

    with registry.begin() as db:
        reopened = changes.reopen(db, lens.id, seq, begun_at=at(9))

    assert reopened == 2
    assert (buffered(registry, lens), buffered(registry, other)) == (4, 0)
    assert shown(claim(registry, lens, "job-2")) == ["-after", "+waits", "+walked"]


def test_what_waited_when_a_copy_was_begun_and_was_applied_since_is_buffered_again(
    registry: Registry, lens: Lens
) -> None:
    # given changes applied before a copy was begun, and since, and one that waits all the while
    append(registry, lens, "+long", "+before", "-since", "+waits", "-again")
    claim(registry, lens)
    with registry.begin() as db:
        changes.ack(db, "job-1", ["long", "before"], at(1))
        begun = changes.latest_seq(db, lens.id)
        changes.ack(db, "job-1", ["since", "again"], at(3))
    # and one that a later change has made void
    append(registry, lens, "+again")
    claim(registry, lens)
    ack(registry, ["again"])
    with registry.read() as db:
        replayed = changes.latest_seq(db, lens.id)

    with registry.begin() as db:
        reopened = changes.reopen(db, lens.id, replayed, begun_seq=begun, begun_at=at(2))

    assert reopened == 1
    assert buffered(registry, lens) == 2
    assert shown(claim(registry, lens, "job-2")) == ["-since"]
