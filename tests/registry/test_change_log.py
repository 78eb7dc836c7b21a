"""The log of changes, by which a new index catches up with the one in use."""

from __future__ import annotations

from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.buffer import ack, append, buffered, claim, shown
from tests.registry.given import NOW, at, make_lens


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
