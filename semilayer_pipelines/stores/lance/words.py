"""The rows of a Lance table that have some tokens, ranked by BM25.

The table's full-text index splits WORDS at blanks and does nothing else to them. Rows that it does
not cover yet are looked at one by one by Lance itself: a row is found as soon as it is written.
Where the index cannot be read, all rows are, here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from semilayer_pipelines.stores.lance.runtime import FTS, MatchQuery
from semilayer_pipelines.stores.protocol import KEY, SCORE, WORDS

__all__ = ["asked", "by_words", "by_words_unindexed", "words_index"]

_LANCE_SCORE = "_score"
_K1, _B = 1.2, 0.75  # what Lance has, and everybody else
_LENGTH = "\0length"


def words_index() -> FTS:
    """Return the configuration of the index of WORDS: tokens are made before they get here."""
    return FTS(
        base_tokenizer="whitespace",
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
        # In bytes; no token of ours is longer.
        max_token_length=4_096,
        with_position=False,
    )


def asked(table: Any, tokens: Sequence[str]) -> Any:
    """Return LanceDB's query for the rows that have any of the tokens."""
    # Its type hints do not show that all but these two have defaults.
    match = MatchQuery(" ".join(tokens), WORDS)  # type: ignore[call-arg]
    return table.search(match, query_type="fts")


def by_words(
    table: Any,
    tokens: Sequence[str],
    *,
    limit: int,
    columns: Sequence[str],
    condition: str | None,
) -> pl.DataFrame:
    """Return `columns` and SCORE of the best rows that have any of the tokens."""
    query = asked(table, tokens)
    if condition is not None:
        query = query.where(condition, prefilter=True)
    found = query.limit(limit).select([*columns, _LANCE_SCORE]).to_arrow()
    return pl.DataFrame(pl.from_arrow(found)).rename({_LANCE_SCORE: SCORE})


def by_words_unindexed(
    rows: Iterable[pl.DataFrame], tokens: Sequence[str], *, limit: int
) -> pl.DataFrame:
    """Return KEY and SCORE of the best of rows (KEY, WORDS), with the formula of the index.

    Only rows that have one of the tokens are kept in memory.
    """
    wanted = list(dict.fromkeys(tokens))
    kept: list[pl.DataFrame] = []
    total, length = 0, 0
    for frame in rows:
        told = frame.select(KEY, pl.col(WORDS).fill_null("").str.split(" ").alias(WORDS))
        told = told.with_columns(pl.col(WORDS).list.len().alias(_LENGTH))
        total, length = total + told.height, length + int(told[_LENGTH].sum())
        counts = [pl.col(WORDS).list.count_matches(token).alias(token) for token in wanted]
        counted = told.select(KEY, _LENGTH, *counts)
        kept.append(counted.filter(pl.any_horizontal(pl.col(wanted) > 0)))
    if not any(frame.height for frame in kept):
        return pl.DataFrame(schema={KEY: pl.String, SCORE: pl.Float32})
    matching, mean = pl.concat(kept), length / total
    part = _K1 * (1 - _B + _B * pl.col(_LENGTH) / mean)
    score = [
        _rarity(total, int((matching[token] > 0).sum()))
        * pl.col(token)
        * (_K1 + 1)
        / (pl.col(token) + part)
        for token in wanted
    ]
    best = matching.select(KEY, pl.sum_horizontal(score).cast(pl.Float32).alias(SCORE))
    return best.sort(SCORE, KEY, descending=[True, False]).head(limit)


def _rarity(rows: int, having: int) -> pl.Expr:
    return (pl.lit(1) + (pl.lit(rows - having) + 0.5) / (pl.lit(having) + 0.5)).log()
