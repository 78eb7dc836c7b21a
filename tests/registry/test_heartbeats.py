"""A program shows that it is at work, and writes that down no more often than it has to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.heartbeats import Heart, last_beat, take_turn
from tests.registry.given import NOW, at


@pytest.mark.parametrize(
    ("seconds", "noted"),
    [(0, False), (9.9, False), (10, True), (-60, True)],
    ids=["now", "a moment ago", "long ago", "noted by a clock that was ahead"],
)
def test_a_beat_is_noted_when_the_last_one_is_old(
    registry: Registry, seconds: float, noted: bool
) -> None:
    heart = Heart("daemon")
    heart.beat(registry, NOW)

    heart.beat(registry, at(seconds))

    with registry.read() as db:
        assert last_beat(db, "daemon") == (at(seconds) if noted else NOW)
        assert last_beat(db, "another") is None


def test_a_program_that_is_started_again_shows_it_at_once(registry: Registry) -> None:
    Heart("daemon").beat(registry, NOW)

    Heart("daemon").beat(registry, at(1))

    with registry.read() as db:
        assert last_beat(db, "daemon") == at(1)


@pytest.mark.parametrize(
    ("seconds", "mine"), [(0, False), (19, False), (20, True), (-60, True)], ids=str
)
def test_a_turn_is_taken_when_the_last_one_is_old(
    registry: Registry, seconds: float, mine: bool
) -> None:
    every = timedelta(seconds=20)
    with registry.begin() as db:
        assert take_turn(db, "alerts", NOW, every)

    with registry.begin() as db:
        assert take_turn(db, "alerts", at(seconds), every) is mine
