"""How much of a query the rows have that a search by words found.

A rare word counts more than a common one. How rare a word is follows from the rows that were found:
a common word is in most of them, and a rare one in few. So no store has to count words, and the
rows that conditions and tenants leave out do not count either.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p

import polars as pl

__all__ = ["coverage"]


def coverage(texts: pl.Series, tokens: Sequence[str]) -> list[float]:
    """Return for each row which share of a query's tokens it has, 0 to 1, each by its rarity.

    `texts` are the rows' WORDS. The rarity is that of BM25; a token that no row has is the rarest.
    """
    if texts.is_empty():
        return []
    having = [set(found) for found in _having(texts, tokens)]
    rarity = {
        token: _rarity(len(having), sum(token in found for found in having)) for token in tokens
    }
    whole = sum(rarity.values())
    return [sum(rarity[token] for token in found) / whole for found in having]


def _having(texts: pl.Series, tokens: Sequence[str]) -> list[list[str]]:
    """Return the tokens that each text has, some of them several times."""
    padded = pl.concat_str(pl.lit(" "), pl.col("text"), pl.lit(" "))
    # Two tokens side by side share a blank.
    found = padded.str.extract_many([f" {token} " for token in tokens], overlapping=True)
    told = texts.fill_null("").to_frame("text").select(found.list.unique()).to_series()
    return [[token[1:-1] for token in row] for row in told.to_list()]


def _rarity(rows: int, having: int) -> float:
    return log1p((rows - having + 0.5) / (having + 0.5))
