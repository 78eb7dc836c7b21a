from __future__ import annotations

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import shards
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.shards import Shard, ShardStatus
from tests.registry.given import NOW, at, build
from tests.registry.race import threads_at_once

HALF, WHOLE = Counts(read=50, written=50), Counts(read=100, written=99, failed=1)


@pytest.fixture
def generation(registry: Registry, lens: Lens) -> Generation:
    """A generation of three shards."""
    return build(registry, lens, bounds=("10", "20"))


def claim(
    registry: Registry,
    generation: Generation,
    lease: str,
    *,
    number: int | None = None,
    now: float = 0,
) -> Shard | None:
    with registry.begin() as db:
        return shards.claim(
            db,
            generation.id,
            number=number,
            lease=lease,
            run_id=f"run of {lease}",
            now=at(now),
            stale_before=at(now - 30),
        )


def test_shards_are_claimed_in_order_until_none_is_left(
    registry: Registry, generation: Generation
) -> None:
    claimed = [claim(registry, generation, f"lease-{turn}") for turn in range(4)]

    assert [shard and shard.number for shard in claimed] == [0, 1, 2, None]
    assert claimed[1] == Shard(
        generation_id=generation.id,
        number=1,
        status=ShardStatus.RUNNING,
        cursor=None,
        lease="lease-1",
        run_id="run of lease-1",
        heartbeat_at=NOW,
        counts=Counts(),
        started_at=NOW,
    )


def test_one_shard_can_be_asked_for(registry: Registry, generation: Generation) -> None:
    asked = claim(registry, generation, "a", number=2)

    assert asked is not None
    assert asked.number == 2
    assert claim(registry, generation, "b", number=2) is None
    assert claim(registry, generation, "b", number=7) is None


def test_threads_that_claim_at_once_get_different_shards(
    registry: Registry, generation: Generation
) -> None:
    claimed = threads_at_once(lambda number: claim(registry, generation, f"lease-{number}"), 5)

    got = [shard for shard in claimed if shard is not None]
    assert sorted(shard.number for shard in got) == [0, 1, 2]
    with registry.read() as db:
        kept = {shard.number: shard.lease for shard in shards.list_all(db, generation.id)}
    assert {shard.number: shard.lease for shard in got} == kept


def test_a_shard_given_back_goes_on_where_it_was(
    registry: Registry, generation: Generation
) -> None:
    claim(registry, generation, "a", number=0)
    with registry.begin() as db:
        advanced = shards.advance(
            db, generation.id, 0, lease="a", cursor="5", counts=HALF, now=at(3)
        )
        released = shards.release(db, generation.id, 0, lease="a", now=at(4))
        twice = shards.release(db, generation.id, 0, lease="a", now=at(5))

    again = claim(registry, generation, "b", number=0, now=9)

    assert (advanced, released, twice) == (True, True, False)
    assert again is not None
    assert (again.cursor, again.counts, again.lease) == ("5", HALF, "b")
    assert (again.started_at, again.heartbeat_at) == (NOW, at(9))


def test_a_finished_shard_is_not_claimed_again(registry: Registry, generation: Generation) -> None:
    for number in range(3):
        claim(registry, generation, "a", number=number)
        with registry.begin() as db:
            assert not shards.all_done(db, generation.id)
            assert shards.finish(db, generation.id, number, lease="a", counts=WHOLE, now=at(1))
            assert not shards.release(db, generation.id, number, lease="a", now=at(2))

    assert claim(registry, generation, "b", now=1_000_000) is None
    with registry.read() as db:
        assert shards.all_done(db, generation.id)
        assert [shard.counts for shard in shards.list_all(db, generation.id)] == [WHOLE] * 3


def test_a_generation_that_is_gone_is_not_done(registry: Registry) -> None:
    with registry.read() as db:
        assert not shards.all_done(db, 123)


def test_a_shard_with_a_sign_of_life_is_not_taken_over(
    registry: Registry, generation: Generation
) -> None:
    claim(registry, generation, "a", number=0)
    with registry.begin() as db:
        assert shards.beat(db, generation.id, 0, lease="a", now=at(25))

    assert claim(registry, generation, "b", number=0, now=31) is None


def test_a_silent_shard_is_taken_over_and_its_old_run_fenced(
    registry: Registry, generation: Generation
) -> None:
    # given: a run filled half a shard and fell silent
    claim(registry, generation, "old", number=0)
    with registry.begin() as db:
        shards.advance(db, generation.id, 0, lease="old", cursor="5", counts=HALF, now=at(1))

    # when: another takes over, and the old one comes back
    taken = claim(registry, generation, "new", number=0, now=32)
    with registry.begin() as db:
        steps = [
            shards.beat(db, generation.id, 0, lease="old", now=at(33)),
            shards.advance(db, generation.id, 0, lease="old", cursor="9", counts=WHOLE, now=at(33)),
            shards.finish(db, generation.id, 0, lease="old", counts=WHOLE, now=at(33)),
            shards.release(db, generation.id, 0, lease="old", now=at(33)),
        ]

    # then: it can do nothing, and the new run has the shard as it took it
    assert steps == [False] * 4
    with registry.read() as db:
        kept = shards.list_all(db, generation.id)[0]
    assert kept == taken
    assert (kept.cursor, kept.counts, kept.lease) == ("5", HALF, "new")
