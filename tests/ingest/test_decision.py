"""The table of what is done with a row, case by case."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from semilayer_pipelines.ingest.decision import (
    Action,
    Indexed,
    all_replaced,
    decide,
    indexed,
    kept_vectors,
    may_have_vector,
    not_newer,
)
from semilayer_pipelines.stores.protocol import KEY, TEXT_HASH

ALONE = {
    Indexed.NOTHING: Action.ADD,
    Indexed.OTHER: Action.REPLACE,
    Indexed.SAME: Action.SKIP,
    Indexed.TWICE: Action.PART,
}
BESIDE_OTHERS = {
    Indexed.NOTHING: Action.REPLACE,  # another writer may have brought it meanwhile
    Indexed.OTHER: Action.REPLACE,
    Indexed.SAME: Action.SKIP,
    Indexed.TWICE: Action.PART,
}


def states(*of: Indexed) -> pl.Series:
    return pl.Series(of, dtype=pl.Enum(Indexed))


@pytest.mark.parametrize("state", Indexed)
@pytest.mark.parametrize(("sole_writer", "table"), [(True, ALONE), (False, BESIDE_OTHERS)])
def test_every_case_has_its_action(
    state: Indexed, sole_writer: bool, table: dict[Indexed, Action]
) -> None:
    assert decide(states(state), sole_writer=sole_writer).to_list() == [table[state]]


def test_a_page_is_decided_row_by_row_in_its_order() -> None:
    page = states(Indexed.SAME, Indexed.TWICE, Indexed.NOTHING, Indexed.OTHER, Indexed.SAME)

    assert decide(page, sole_writer=True).to_list() == ["skip", "part", "add", "replace", "skip"]


def test_an_empty_page_needs_no_action() -> None:
    assert decide(states(), sole_writer=True).to_list() == []


@pytest.mark.parametrize(
    ("known", "same", "twice", "state"),
    [
        (False, False, False, Indexed.NOTHING),
        (False, True, False, Indexed.NOTHING),
        (False, False, True, Indexed.NOTHING),
        (False, True, True, Indexed.NOTHING),
        (True, False, False, Indexed.OTHER),
        (True, True, False, Indexed.SAME),
        (True, False, True, Indexed.TWICE),
        (True, True, True, Indexed.TWICE),
    ],
)
def test_a_row_is_in_one_state_whatever_was_found_of_it(
    known: bool, same: bool, twice: bool, state: Indexed
) -> None:
    assert indexed(*(np.array([mask]) for mask in (known, same, twice))).to_list() == [state]


def test_a_vector_is_looked_for_wherever_the_index_has_the_key() -> None:
    assert may_have_vector(states(*Indexed)).to_list() == [False, True, True, True]


def test_after_a_write_whose_answer_was_lost_nothing_is_added_twice() -> None:
    actions = pl.Series([Action.ADD, Action.REPLACE, Action.PART], dtype=pl.Enum(Action))
    assert all_replaced(actions).to_list() == [Action.REPLACE, Action.REPLACE, Action.PART]


def test_a_vector_is_kept_where_key_and_text_are_the_same() -> None:
    rows = pl.DataFrame({"at": [0, 1, 2, 5], KEY: ["a", "b", "c", "d"], TEXT_HASH: [b"1"] * 4})
    objects = pl.DataFrame({KEY: ["d", "b", "a", "a"], TEXT_HASH: [b"1", b"2", b"1", b"1"]})

    kept = kept_vectors(rows, objects)

    # "b" has another text now, "c" is new; of the two objects of "a" either will do.
    assert kept["at"].to_list() == [0, 5]
    assert kept["of"].to_list() in ([2, 0], [3, 0])


def test_a_key_with_a_newer_change_is_left_to_that_change() -> None:
    keys = pl.Series(KEY, ["a", "b"])

    assert not_newer(keys, {"b"}).to_list() == [True, False]
    assert not_newer(keys, []).to_list() == [True, True]
