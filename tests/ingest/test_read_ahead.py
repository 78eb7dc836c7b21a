"""The next page of a walk is read while the caller has the one before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType

import polars as pl
import pytest

from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.lens_watch import StartOver
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.read_ahead import read_ahead
from tests.patience import PATIENCE_SECONDS, eventually


def page(number: int) -> Page:
    return Page(pl.DataFrame({"id": [number]}), 0, number, 0.0)


def leave(pages: Iterator[Page], why: BaseException) -> None:
    """Work on one page, and leave while the next is being read."""
    with read_ahead(pages) as ahead:
        next(ahead)
        raise why


def test_the_next_page_is_being_read_while_one_is_worked_on_and_no_other() -> None:
    asked = [threading.Event() for _ in range(4)]

    def pages() -> Iterator[Page]:
        for number, event in enumerate(asked):
            event.set()
            yield page(number)

    with read_ahead(pages()) as ahead:
        assert next(ahead).change_seq == 0
        assert asked[1].wait(PATIENCE_SECONDS)
        assert next(ahead).change_seq == 1
        assert asked[2].wait(PATIENCE_SECONDS)
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


def test_the_reader_is_as_patient_as_its_caller() -> None:
    patience = ContextVar("patience", default=0)
    found: list[int] = []

    def pages() -> Iterator[Page]:
        for number in range(3):
            found.append(patience.get())
            yield page(number)

    patience.set(20)
    with read_ahead(pages()) as ahead:
        assert len(list(ahead)) == 3

    assert found == [20, 20, 20]


def test_a_reader_that_is_slow_to_end_holds_up_no_page() -> None:
    # given threads that the processor leaves alone between giving a page and ending
    def dawdle(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code.co_name == "set_result":
            time.sleep(0.02)

    read: list[Page] = []

    def walk() -> None:
        with read_ahead(map(page, range(4))) as ahead:
            read.extend(ahead)

    # when
    threading.setprofile(dawdle)
    walking = threading.Thread(target=walk, daemon=True)
    walking.start()
    walking.join(PATIENCE_SECONDS)
    threading.setprofile(None)

    # then
    assert [each.change_seq for each in read] == [0, 1, 2, 3]


def test_an_interrupt_does_not_wait_for_a_page_that_is_being_read() -> None:
    # given a database that does not answer
    answered, left = threading.Event(), threading.Event()

    def pages() -> Iterator[Page]:
        yield page(0)
        answered.wait()
        left.set()

    # when
    with pytest.raises(KeyboardInterrupt):
        leave(pages(), KeyboardInterrupt())

    # then
    assert not left.is_set()
    answered.set()
    assert left.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("why", [StartOver(), KeyboardInterrupt()])
def test_no_reader_is_left_waiting_for_a_walk_that_has_ended(why: BaseException) -> None:
    def readers() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "reading"]

    with read_ahead(map(page, range(3))) as ahead:
        assert readers()
        assert len(list(ahead)) == 3
    with pytest.raises(type(why)):
        leave(map(page, range(3)), why)

    eventually(lambda: not readers())


def test_a_run_that_starts_over_has_nobody_left_who_reads() -> None:
    done = threading.Event()

    def pages() -> Iterator[Page]:
        yield page(0)
        time.sleep(0.2)
        done.set()
        yield page(1)

    with pytest.raises(StartOver):
        leave(pages(), StartOver())

    assert done.is_set()


def test_a_walk_that_is_left_early_reads_no_further() -> None:
    read: list[int] = []

    def pages() -> Iterator[Page]:
        for number in range(100):
            read.append(number)
            yield page(number)

    with read_ahead(pages()) as ahead:
        next(ahead)

    assert read in ([0], [0, 1])
