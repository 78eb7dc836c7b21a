"""The change buffer: what is told is claimed in its order, once, and applied once."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import changes, lenses
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.buffer import ack, append, buffered, claim, prune, shown
from tests.registry.given import build, end, make_lens, queue, start
from tests.registry.test_sql import ODD


def test_appended_changes_are_claimed_in_their_order(registry: Registry, lens: Lens) -> None:
    assert append(registry, lens, "+b", "-a", "+c") == 3
    assert append(registry, lens, "-d") == 4

    claimed = claim(registry, lens)

    assert shown(claimed) == ["+b", "-a", "+c", "-d"]
    assert [change.seq for change in claimed] == sorted(change.seq for change in claimed)


@pytest.mark.parametrize("action", ["+", "-"])
def test_changes_of_one_action_keep_their_order_and_their_very_keys(
    registry: Registry, lens: Lens, action: str
) -> None:
    given = [action + key for key in (*ODD, "7", "a", *ODD[::-1])]
    append(registry, lens, *given)

    with registry.read() as db:
        told = changes.since(db, lens.id, 0, limit=100)

    assert shown(told) == given


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


def test_what_jobs_claimed_that_are_over_is_given_back(registry: Registry, lens: Lens) -> None:
    # given what a job claimed that runs, and what one claimed that has ended
    for job_id, key in [("over", "+a"), ("at work", "+b")]:
        queue(registry, lens, Mode.RECORDS, job_id)
        start(registry, job_id)
        append(registry, lens, key)
        claim(registry, lens, job_id)
    end(registry, "over", JobStatus.CANCELED)

    # when
    with registry.begin() as db:
        assert changes.release_lost(db) == {lens.id}
        assert changes.release_lost(db) == set()

    # then that alone can be claimed again
    assert shown(claim(registry, lens, "next")) == ["+a"]


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
