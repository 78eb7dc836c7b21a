"""How many rows a page has: as many as its time allows, and more where few have to be written."""

from __future__ import annotations

from semilayer_pipelines.ingest import page_size
from semilayer_pipelines.ingest.page_size import MAX_PAGE_ROWS, PageSize


def test_a_page_that_was_but_compared_is_followed_by_a_larger_one() -> None:
    size = PageSize()

    size.took(MAX_PAGE_ROWS, seconds=0.1, compared=True)

    assert size.rows == page_size.COMPARED_TIMES * MAX_PAGE_ROWS


def test_one_whose_rows_were_written_is_not() -> None:
    size = PageSize()
    size.took(MAX_PAGE_ROWS, seconds=0.1, compared=True)

    size.took(size.rows, seconds=0.1)

    assert size.rows == MAX_PAGE_ROWS


def test_a_slow_page_is_followed_by_a_small_one_whatever_it_was() -> None:
    size = PageSize()

    size.took(1_000, seconds=50.0, compared=True)

    assert size.rows == page_size.MIN_PAGE_ROWS
