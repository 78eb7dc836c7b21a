"""Equal texts are embedded once: the frame around every embedder's own work.

It never changes a text: two texts are equal when they are the same characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.checks import check_texts, checked
from semilayer_pipelines.embedders.protocol import Embedded, PartlyEmbedded
from semilayer_pipelines.errors import EmbeddingRejected

__all__ = ["embed_once"]


def embed_once(
    texts: Sequence[str], embed: Callable[[list[str]], Embedded], *, dimension: int | None
) -> Embedded:
    """Embed each distinct text once, and give every text its checked vector, in order.

    `embed` gets distinct texts, longest first, so that batches cut from its list hold texts of
    similar length, and tells what it rejects by the positions in that list. It is not called for no
    texts; then `vectors` has the shape (0, dimension or 0). Raises what `embed`, `checked` and
    `check_texts` raise.
    """
    if not texts:
        return Embedded(np.zeros((0, dimension or 0), np.float32), np.zeros(0, np.bool_))
    check_texts(texts)
    distinct = sorted(dict.fromkeys(texts), key=len, reverse=True)
    place = {text: position for position, text in enumerate(distinct)}
    rows = np.fromiter(map(place.__getitem__, texts), dtype=np.intp, count=len(texts))
    try:
        done = embed(distinct)
    except PartlyEmbedded as error:
        kept = _among(rows, error.kept)
        made = _taken(error.made, np.searchsorted(error.kept, rows[kept]))
        raise _refused(error, _among(rows, error.positions), kept, made, dimension) from error
    except EmbeddingRejected as error:
        raise EmbeddingRejected(
            error.message, cure=error.cure, positions=_among(rows, error.positions)
        ) from error
    made = _taken(done, rows)
    try:
        return replace(made, vectors=checked(made.vectors, dimension))
    except EmbeddingRejected as error:
        raise _refused(error, [], [*range(len(texts))], made, dimension) from error


def _refused(
    error: EmbeddingRejected,
    positions: list[int],
    kept: list[int],
    made: Embedded,
    dimension: int | None,
) -> EmbeddingRejected:
    """Return the refusal of a call in which the texts at `kept` were embedded all the same.

    Of these, the ones with a vector that nobody can use are at fault, too.
    """
    try:
        checked(made.vectors, dimension)
    except EmbeddingRejected as bad:
        sound = np.delete(np.arange(len(kept)), bad.positions)
        positions = sorted([*positions, *(kept[at] for at in bad.positions)])
        kept, made = [kept[at] for at in sound], _taken(made, sound)
    if not kept:
        return EmbeddingRejected(error.message, cure=error.cure, positions=positions)
    return PartlyEmbedded(error, positions=positions, kept=kept, made=made)


def _among(rows: NDArray[np.intp], positions: Sequence[int]) -> list[int]:
    found: list[int] = np.flatnonzero(np.isin(rows, positions)).tolist()
    return found


def _taken(done: Embedded, rows: NDArray[np.intp]) -> Embedded:
    tokens = None if done.tokens is None else done.tokens[rows]
    return Embedded(done.vectors[rows], done.truncated[rows], tokens, done.by)
