"""One process at a time reads a feed, and nobody else moves its position."""

from __future__ import annotations

import pytest

from semilayer_pipelines.config.models import Cdc
from semilayer_pipelines.errors import Fenced
from semilayer_pipelines.registry import environments, feeds
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.feeds import FeedRow
from tests.registry.given import NOW, at


def made(registry: Registry, kind: Cdc = Cdc.LOGICAL) -> FeedRow:
    with registry.begin() as db:
        return feeds.ensure(db, environments.ensure(db, "test", NOW).id, "shop", kind)


def taken(registry: Registry, feed: FeedRow, lease: str, seconds: float = 0) -> FeedRow | None:
    with registry.begin() as db:
        return feeds.take(db, feed, lease, at(seconds))


def test_a_feed_is_made_once_and_keeps_its_kind_and_name(registry: Registry) -> None:
    first = made(registry)

    assert made(registry) == first
    assert made(registry, Cdc.OUTBOX) == first
    assert first.position is None
    assert first.env == "test"


@pytest.mark.parametrize(
    ("seconds", "mine"),
    [(9.9, False), (10.1, True), (-600, True)],
    ids=["of one that lives", "of one that fell silent", "of a clock that was ahead"],
)
def test_a_lease_is_taken_from_nobody_but_the_silent(
    registry: Registry, seconds: float, mine: bool
) -> None:
    feed = made(registry)
    assert taken(registry, feed, "first")

    second = taken(registry, feed, "second", seconds)

    assert (second is not None) is mine


def test_who_lost_the_lease_moves_nothing_and_takes_nothing_back(registry: Registry) -> None:
    # given
    feed = made(registry)
    first, second = taken(registry, feed, "first"), taken(registry, feed, "second", 11)
    assert first
    assert second

    # when
    with pytest.raises(Fenced, match="another process"), registry.begin() as db:
        feeds.advance(db, first, "7", 3, at(12))
    with registry.begin() as db:
        feeds.release(db, first)
        feeds.advance(db, second, "8", 2, at(12))

    # then
    with registry.read() as db:
        [now] = feeds.list_all(db, "test")
    assert (now.position, now.changes, now.lease) == ("8", 2, "second")
    assert now.is_followed(at(13))
    assert not now.is_followed(at(30))


def test_what_was_read_ends_the_trouble(registry: Registry) -> None:
    feed = taken(registry, made(registry), "first")
    assert feed
    with registry.begin() as db:
        feeds.note_trouble(db, feed, "It is away.", "Wait.")
        feeds.restarted(db, feed, "The slot was lost.", NOW)

    with registry.begin() as db:
        feeds.note_lag(db, feed, 12, 0.5, NOW)
        before = feeds.get(db, feed.env_id, "shop")
        feeds.advance(db, feed, "9", 0, NOW)
        after = feeds.get(db, feed.env_id, "shop")

    assert before
    assert (before.trouble, before.lag_bytes) == ("It is away.", 12)
    assert after
    assert (after.trouble, after.cure, after.restarts) == (None, None, 1)
    assert after.restarted_because == "The slot was lost."
