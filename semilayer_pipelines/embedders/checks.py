"""What every vector must pass before anybody stores it, and every text before it is embedded.

A NaN, infinite or zero vector looks like success and is found by no search, so it is refused here,
for all embedders alike. Nothing is repaired, padded, cut or normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected

__all__ = ["check_texts", "checked"]

_SHOWN = 5


def checked(vectors: NDArray[np.float32], dimension: int | None) -> NDArray[np.float32]:
    """Return the vectors, shape (texts, dimension), when each of them can be searched for.

    Raises `DimensionChanged` when they do not have `dimension` numbers each (`None`: any), and
    `EmbeddingRejected`, with the positions, when some are NaN, infinite or zero.
    """
    if dimension is not None and vectors.shape[1] != dimension:
        raise DimensionChanged(
            f"The model gives vectors of {vectors.shape[1]} numbers, "
            f"and {dimension} were declared.",
            cure=f"Set 'dimensions: {vectors.shape[1]}' or choose a model that gives {dimension}.",
        )
    # One pass finds all three: a NaN or an infinity anywhere makes the sum of squares one. So does
    # a number beyond 1e19, whose cosine no store could compute either.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
    bad = np.flatnonzero(~(np.isfinite(squares) & (squares > 0)))
    if bad.size:
        raise EmbeddingRejected(
            f"{bad.size} of {len(vectors)} vectors are NaN, infinite or zero"
            f" ({_shown(bad.tolist())}).",
            positions=bad.tolist(),
        )
    return vectors


def check_texts(texts: Sequence[str]) -> None:
    """Raise `EmbeddingRejected`, with the positions, when some texts are not valid Unicode.

    A lone half of a surrogate pair has no UTF-8 form; every embedder fails on it in its own way.
    """
    if _encodable("".join(texts)):
        return
    bad = [position for position, text in enumerate(texts) if not _encodable(text)]
    raise EmbeddingRejected(
        f"{len(bad)} of {len(texts)} texts hold half of a surrogate pair ({_shown(bad)}).",
        cure="Correct the text in the source.",
        positions=bad,
    )


def _encodable(text: str) -> bool:
    # ASCII is known to the string itself, so that the common case copies nothing.
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(positions: Sequence[int]) -> str:
    some = ", ".join(map(str, positions[:_SHOWN]))
    return f"positions {some}{', …' if len(positions) > _SHOWN else ''}"
