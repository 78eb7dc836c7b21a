"""Equal texts are embedded once: the frame around every embedder's own work.

It never changes a text: two texts are equal when they are the same characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from semilayer_pipelines.embedders.checks import check_texts, checked
from semilayer_pipelines.embedders.protocol import Embedded
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
    try:
        done = embed(distinct)
    except EmbeddingRejected as error:
        at = [n for n, text in enumerate(texts) if place[text] in error.positions]
        raise EmbeddingRejected(error.message, cure=error.cure, positions=at) from error
    rows = np.fromiter(map(place.__getitem__, texts), dtype=np.intp, count=len(texts))
    tokens = None if done.tokens is None else done.tokens[rows]
    vectors = checked(done.vectors[rows], dimension)
    return Embedded(vectors, done.truncated[rows], tokens, done.by)
