"""Items are made ahead in order, not without bound, and not after anybody wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from semilayer_pipelines.embedders.local.ahead import made_ahead


def test_items_come_in_their_order_from_another_thread() -> None:
    threads: set[int] = set()

    def items() -> Iterator[int]:
        for n in range(50):
            threads.add(threading.get_ident())
            yield n

    with made_ahead(items(), 3) as ready:
        assert list(ready) == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_no_more_than_so_many_are_made_ahead_and_none_after_the_end() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        while True:
            made.append(len(made))
            yield made[-1]

    with made_ahead(items(), 3) as ready:
        assert next(ready) == 0
        until = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < until:
            time.sleep(0.001)
        assert len(made) in (3, 4)  # the fourth is begun once the first is taken
    left = len(made)
    assert left <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_an_error_comes_where_its_item_was_asked_for() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("poison")

    with made_ahead(items(), 3) as ready:
        assert next(ready) == 1
        with pytest.raises(ValueError, match="poison"):
            next(ready)
