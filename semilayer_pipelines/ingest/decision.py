"""What is done with a row: the one table that every mode uses.

A mode says what the index has of each mapped row (`Indexed`). The table says what follows:

| in the source | the index has | action | vector |
| --- | --- | --- | --- |
| a row | nothing, and nobody else writes | ADD | see below |
| a row | nothing that this run knows of; others write too | REPLACE | see below |
| a row | an object that differs in row or text hash | REPLACE | see below |
| a row | an object that is the same in both | SKIP | stays |
| a row | two objects | PART: one of the two is left, with what the row has | see below |
| a row that cannot be mapped or embedded | anything | SKIP; it is set aside (invariant 8) | stays |
| a row without a text | an object | DROP (see `leaving`) | goes |
| a row that the lens's `where` leaves out | an object | DROP (see `leaving`) | goes |
| no row, on a second look (invariant 5) | an object | DROP | goes |
| a newer change of it waits | anything | SKIP; that change decides (invariant 4) | stays |

A row that is written keeps the vector of an object with the same key and text hash, if the index
that its mode reuses has one; otherwise its text is embedded. The text hash covers the model's
fingerprint, so an equal hash means an equal vector.

`leaving` says when a row that is set aside takes its object along all the same.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.stores.protocol import KEY, TEXT_HASH

__all__ = [
    "Action",
    "Indexed",
    "all_replaced",
    "decide",
    "indexed",
    "kept_vectors",
    "may_have_vector",
    "not_newer",
]


class Indexed(StrEnum):
    """What the index has of a mapped row, as far as the run that asks knows."""

    NOTHING = "nothing"
    OTHER = "other"  # an object of its key, whose row or text hash differs
    SAME = "same"
    TWICE = "twice"  # left by a killed writer, or made by one that does not know the lock


class Action(StrEnum):
    """What is done with a mapped row."""

    SKIP = "skip"
    ADD = "add"
    REPLACE = "replace"
    PART = "part"


_ALONE = {
    Indexed.NOTHING: Action.ADD,
    Indexed.OTHER: Action.REPLACE,
    Indexed.SAME: Action.SKIP,
    Indexed.TWICE: Action.PART,
}
_BESIDE_OTHERS = _ALONE | {Indexed.NOTHING: Action.REPLACE}

_ACTION = pl.Enum(Action)
# By the number of the state, so that a page is looked up in one step.
_STATES = pl.Series(list(Indexed), dtype=pl.Enum(Indexed))
_IF_SOLE_WRITER = {
    True: pl.Series([_ALONE[state] for state in Indexed], dtype=_ACTION),
    False: pl.Series([_BESIDE_OTHERS[state] for state in Indexed], dtype=_ACTION),
}
_SAME, _TWICE = (list(Indexed).index(state) for state in (Indexed.SAME, Indexed.TWICE))


def indexed(
    known: NDArray[np.bool_], same: NDArray[np.bool_], twice: NDArray[np.bool_]
) -> pl.Series:
    """Return a Series of `Indexed` for rows of which the index has an object, the same, or two.

    `same` and `twice` say nothing of a row that is not `known`; `twice` counts more than `same`.
    """
    state = known.astype(np.uint8)
    state[known & same] = _SAME
    state[known & twice] = _TWICE
    return _STATES.gather(state)


def decide(states: pl.Series, *, sole_writer: bool) -> pl.Series:
    """Return a Series of `Action` for a Series of `Indexed`.

    `sole_writer` says that nobody else writes these rows, so that what this run does not know of is
    not there.
    """
    return _IF_SOLE_WRITER[sole_writer].gather(states.to_physical())


def all_replaced(actions: pl.Series) -> pl.Series:
    """Return the actions for rows any of which may have been written already."""
    return actions.replace(Action.ADD, Action.REPLACE)


def may_have_vector(states: pl.Series) -> pl.Series:
    """Say for which rows the index that was compared can hold a vector at all; Boolean."""
    return states != Indexed.NOTHING


def kept_vectors(rows: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """Return which rows keep the vector of which object: positions `at` and `of`, ascending `at`.

    Both frames have KEY and TEXT_HASH; `rows` has its positions in a column `at`.
    """
    of = objects.select(KEY, TEXT_HASH).with_row_index("of")
    return rows.join(of, on=[KEY, TEXT_HASH]).unique("at", keep="any").sort("at").select("at", "of")


def not_newer(keys: pl.Series, newer: Collection[str]) -> pl.Series:
    """Say which keys are this run's to write or drop: those without a newer change; Boolean."""
    return ~keys.is_in(list(newer))
