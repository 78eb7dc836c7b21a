"""Half precision on an accelerator: twice as fast, when the model's vectors bear it.

Some models overflow in 16 bits. So the vectors of a few texts are compared before and after, and
the model is put back as it was when they point elsewhere. A processor stays at 32 bits, which is
what it is fast at.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.errors import EmbeddingRejected

if TYPE_CHECKING:
    from semilayer_pipelines.embedders.watched_model import WatchedModel

__all__ = ["PROBES", "halve"]

logger = logging.getLogger(__name__)

PROBES = (
    "a",
    "The quick brown fox jumps over the lazy dog.",
    "SELECT name FROM packages WHERE section = 'database' -- 42",
    "Keeps the vectors of a search index in step with rows of a table. " * 20,
    "Größe, 検索, поиск, بحث",
)
_MIN_COSINE = 0.999


def halve(model: WatchedModel, embed: Callable[[], NDArray[np.float32]]) -> bool:
    """Turn the model to half precision, and say whether it stays so.

    `embed` returns the vectors of some texts, one a row, as the model gives them at the moment.
    """
    before = embed()
    kept = copy.deepcopy(model.state_dict())
    model.half()
    try:
        closeness = _cosines(before, embed()).min()
    # An overflow shows as a NaN, an operation that has no 16-bit form as the model's failure.
    except EmbeddingRejected as error:
        logger.info("half precision is not for this model: %s", error.message)
        closeness = np.float32(0)
    if closeness >= _MIN_COSINE:
        return True
    model.float()
    model.load_state_dict(kept)
    return False


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    products = np.einsum("ij,ij->i", left, right)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray(products / lengths, dtype=np.float32)
