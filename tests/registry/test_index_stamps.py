"""The stamp of the last write to an index, which all machines of a project share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.index_stamps import IndexStamps


def test_a_stamp_is_kept_until_the_next_one_is_taken(registry: Registry) -> None:
    stamps, elsewhere = IndexStamps(registry), IndexStamps(registry)
    assert stamps.now("one") is None
    assert stamps.take("one", "a") is None
    assert elsewhere.now("one") == "a"
    assert elsewhere.take("one", "b") == "a"
    assert stamps.now("one") == "b"
    assert stamps.now("two") is None


def test_a_dropped_index_has_none(registry: Registry) -> None:
    stamps = IndexStamps(registry)
    stamps.take("one", "a")
    stamps.forget("one")
    stamps.forget("never there")
    assert stamps.now("one") is None


def test_of_two_that_take_one_at_the_same_time_each_learns_of_another_before(
    registry: Registry,
) -> None:
    stamps = IndexStamps(registry)
    stamps.take("one", "first")
    with ThreadPoolExecutor(4) as threads:
        before = list(threads.map(lambda n: stamps.take("one", str(n)), range(12)))
    assert len({*before, stamps.now("one")}) == 13
