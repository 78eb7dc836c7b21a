"""A search by words, and one by meaning and by words at the same time.

Rankings alone serve a question in words well, and a code badly. By words, a row that mentions a
code five times comes before the row that has it for a name. By meaning, the vectors of codes say
nothing; so a row that has half of the code, and is somewhere in both lists, comes before the one
that leads the one list and is absent from the other. Rows that the query names outright are
therefore looked for by themselves. By words they come first, and to the fusion they are a third
list.

In a question in words the rank by words counts as much as the row has of the question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from semilayer_pipelines.mapping.tokens import QueryTokens, query_tokens
from semilayer_pipelines.queries.coverage import coverage
from semilayer_pipelines.queries.fusion import fused
from semilayer_pipelines.stores.patience import threads
from semilayer_pipelines.stores.protocol import KEY, SCORE, WORDS, Index
from semilayer_pipelines.stores.where import Condition

__all__ = ["BM25", "CANDIDATES", "MOST_NAMED", "SIMILARITY", "by_words", "hybrid"]

SIMILARITY, BM25 = "\0similarity", "\0bm25"

CANDIDATES = 60
"""Rows that each half of a hybrid search gives, or twice the limit where that is more."""

MOST_NAMED = 10
"""Rows that a name or a code may stand for; what more rows have names none of them."""


def hybrid(
    index: Index,
    text: str,
    by_meaning: Callable[[Index, int], pl.DataFrame],
    *,
    limit: int,
    where: Sequence[Condition],
) -> pl.DataFrame:
    """Search both ways at the same time; return the rows by their fused ranks.

    `by_meaning` returns what `Index.search` does, as many rows as its second argument says. The
    columns are KEY, SCORE (the fused), SIMILARITY, BM25 (null where that half did not find the row)
    and the fields.
    """
    tokens, most = query_tokens(text), max(CANDIDATES, 2 * limit)
    with threads(1) as beside:
        under_way = beside.submit(_by_words, index, tokens, most, where, words=True)
        meant = by_meaning(index, most)
        worded, called = under_way.result()
    # A name is no word of the query beside its own words, unless there are none.
    asked = [each for each in tokens.words if each not in tokens.name] or tokens.words
    covered = dict(zip(worded[KEY], coverage(worded[WORDS], asked), strict=True))
    best = list(fused(meant[KEY].to_list(), covered, called).items())[:limit]
    scores = pl.DataFrame(best, {KEY: pl.String, SCORE: pl.Float32}, orient="row")
    fields = pl.concat([meant, worded.select(meant.columns)]).drop(SCORE).unique(KEY, keep="first")
    return (
        scores.join(fields, on=KEY, maintain_order="left")
        .join(meant.select(KEY, pl.col(SCORE).alias(SIMILARITY)), on=KEY, how="left")
        .join(worded.select(KEY, BM25), on=KEY, how="left")
        .sort(SCORE, KEY, descending=[True, False])
    )


def by_words(index: Index, text: str, *, limit: int, where: Sequence[Condition]) -> pl.DataFrame:
    """Return the rows that have words of a text: KEY, SCORE, BM25 and the fields, the best first.

    SCORE is BM25's. To that of a row which the query names outright, the best of all is added.
    """
    found, _ = _by_words(index, query_tokens(text), max(CANDIDATES, limit), where)
    return found.head(limit)


def _by_words(
    index: Index,
    tokens: QueryTokens,
    limit: int,
    where: Sequence[Condition],
    *,
    words: bool = False,
) -> tuple[pl.DataFrame, list[str]]:
    """Return what `by_words` does, with `words` WORDS too; and the rows that the query names."""
    found = index.search_words(tokens.words, limit=limit, where=where, words=words)
    found = found.with_columns(pl.col(SCORE).alias(BM25))
    called = _named(index, tokens, where) if found.height else []
    more = pl.when(pl.col(KEY).is_in(called)).then(pl.col(BM25).max()).otherwise(0.0)
    scored = found.with_columns((pl.col(BM25) + more).cast(pl.Float32).alias(SCORE))
    return scored.sort(SCORE, KEY, descending=[True, False]), called


def _named(index: Index, tokens: QueryTokens, where: Sequence[Condition]) -> list[str]:
    """Return the keys of the rows that a query names, the best first; mostly there are none.

    They are the rows that are called like the query or, without such, those that have a code of it:
    an order number, a file's name, a version. Words alone name no row, and neither does a code that
    many rows have.
    """
    return _few(index, tokens.name, where) or _few(index, tokens.codes, where)


def _few(index: Index, tokens: Sequence[str], where: Sequence[Condition]) -> list[str]:
    if not tokens:
        return []
    found = index.search_words(tokens, limit=MOST_NAMED + 1, where=where)
    # Of several codes the rarest counts, which a row without it is far behind.
    near = found.filter(pl.col(SCORE) >= pl.col(SCORE).max() / 2)
    return near[KEY].to_list() if near.height <= MOST_NAMED else []
