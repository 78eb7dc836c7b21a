"""What was found by meaning, by words and by name as one ranking, by reciprocal rank fusion.

Scores of different kinds cannot be added: a cosine of 0.8 and a BM25 of 12 say nothing to each
other. Ranks can. A row gets 1 / (60 + its rank) of each list that it is in; 60 is the constant of
the paper by Cormack, Clarke and Büttcher.

A rank by words says little where the row has little of the query. A row that shares `my`, `how` and
`big` with a question would come before the one that answers it. So that part counts as much as the
row's coverage of the query, to the fourth power: 1 for a row that has all of it, 0.06 for one that
has half. Beside that, the first rows by words get a place behind the first five by meaning. A name
that the model does not know finds its row there, however long the question is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["BEHIND", "COVERED", "RANK_CONSTANT", "fused"]

RANK_CONSTANT = 60
"""The constant of the fusion: the first of a list gets 1/61, the second 1/62."""

COVERED = 4
"""The power of the coverage. Of 2 to 6, measured on questions about packages, 3 to 5 are alike."""

BEHIND = 5
"""The first row by words comes after so many that are in the list by meaning alone, or before."""

_LEAST = (RANK_CONSTANT + 1) / (RANK_CONSTANT + BEHIND + 0.5)


def fused(
    meant: Sequence[str], worded: Mapping[str, float], named: Sequence[str] = ()
) -> dict[str, float]:
    """Return the score of each key that is in any of the rankings, the best first.

    `meant` are the keys by meaning, the best first, and `worded` those by words, each with its
    coverage of the query (0 to 1). `named` are those that the query names; none are no list. The
    score is a share of what the first of every list would get, so it is from 0 to 1. Equal ones are
    in the order of the keys.
    """
    scores = _parts(meant)
    for key, part in _parts(list(worded)).items():
        both = scores.get(key, 0.0) + worded[key] ** COVERED * part
        scores[key] = max(both, _LEAST * part)
    for key, part in _parts(named).items():
        scores[key] = scores.get(key, 0.0) + part
    best = sorted(scores.items(), key=lambda each: (-each[1], each[0]))
    return {key: score / (3 if named else 2) for key, score in best}


def _parts(ranking: Sequence[str]) -> dict[str, float]:
    """Return what each key gets of a list, as a share of what the first gets."""
    return {
        key: (RANK_CONSTANT + 1) / (RANK_CONSTANT + rank) for rank, key in enumerate(ranking, 1)
    }
