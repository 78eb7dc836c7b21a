"""Items are made ahead in order, not without bound, and not after anybody wants them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from semilayer_pipelines.embedders.local.ahead import made_ahead
from tests.patience import eventually


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
        eventually(lambda: len(made) == 4)  # the fourth is begun once the first is taken
    assert len(made) == 4
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_an_error_comes_where_its_item_was_asked_for() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("poison")

    with made_ahead(items(), 3) as ready:
        assert next(ready) == 1
        with pytest.raises(ValueError, match="poison"):
            next(ready)
