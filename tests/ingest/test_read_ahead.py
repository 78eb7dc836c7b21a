"""The next page of a walk is read while the caller has the one before."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import polars as pl
import pytest

from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.read_ahead import read_ahead

_WAIT_SECONDS = 30


def page(number: int) -> Page:
    return Page(pl.DataFrame({"id": [number]}), 0, number, 0.0)


def test_the_next_page_is_being_read_while_one_is_worked_on_and_no_other() -> None:
    asked = [threading.Event() for _ in range(4)]

    def pages() -> Iterator[Page]:
        for number, event in enumerate(asked):
            event.set()
            yield page(number)

    with read_ahead(pages()) as ahead:
        assert next(ahead).change_seq == 0
        assert asked[1].wait(_WAIT_SECONDS)
        assert next(ahead).change_seq == 1
        assert asked[2].wait(_WAIT_SECONDS)
        assert not asked[3].is_set()
        assert [each.change_seq for each in ahead] == [2, 3]


def test_what_reading_raises_comes_behind_the_pages_that_were_read() -> None:
    def pages() -> Iterator[Page]:
        yield page(0)
        raise SourceUnreachable("source 'shop' cannot be reached")

    with read_ahead(pages()) as ahead:
        assert next(ahead).change_seq == 0
        with pytest.raises(SourceUnreachable, match="'shop'"):
            next(ahead)


def test_a_walk_that_is_left_early_reads_no_further() -> None:
    read: list[int] = []

    def pages() -> Iterator[Page]:
        for number in range(100):
            read.append(number)
            yield page(number)

    with read_ahead(pages()) as ahead:
        next(ahead)

    assert read in ([0], [0, 1])
