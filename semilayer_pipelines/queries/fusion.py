"""Several rankings of the same rows as one, by reciprocal rank fusion.

Scores of different kinds cannot be added: a cosine of 0.8 and a BM25 of 12 say nothing to each
other. Ranks can. A row gets 1 / (60 + its rank) of each list that it is in. With 60, the constant
of the paper by Cormack, Clarke and Büttcher, a row that is high in two lists comes before the first
of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

__all__ = ["RANK_CONSTANT", "fused"]

RANK_CONSTANT = 60
"""The constant of the fusion: the first of a list gets 1/61, the second 1/62."""


def fused(rankings: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the score of each key that is in any of the rankings, the best first.

    The score is a share of what the first of every ranking would get, so it is from 0 to 1. Equal
    ones are in the order of the keys.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            sums[key] += (RANK_CONSTANT + 1) / (RANK_CONSTANT + rank)
    best = sorted(sums.items(), key=lambda each: (-each[1], each[0]))
    return {key: total / len(rankings) for key, total in best}
