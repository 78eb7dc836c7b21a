"""Equal texts are embedded once, and every text gets its own vector back."""

import numpy as np
import pytest

from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import EmbeddingRejected


class Lengths:
    """Embeds a text as (length, 1); texts over ten characters count as cut."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> Embedded:
        self.calls.append(texts)
        vectors = np.array([[len(text), 1] for text in texts], np.float32)
        return Embedded(vectors, np.array([len(text) > 10 for text in texts]))


def test_each_distinct_text_is_embedded_once_longest_first() -> None:
    embed = Lengths()

    embed_once(["bb", "a", "bb", "dddd", "a", "bb"], embed, dimension=2)

    assert embed.calls == [["dddd", "bb", "a"]]


def test_vectors_and_truncation_come_back_in_the_callers_order() -> None:
    done = embed_once(["bb", "far too long", "a", "bb"], Lengths(), dimension=2)

    assert done.vectors.tolist() == [[2, 1], [12, 1], [1, 1], [2, 1]]
    assert done.truncated.tolist() == [False, True, False, False]
    assert done.vectors.dtype == np.float32


def test_no_texts_are_no_call() -> None:
    embed = Lengths()

    done = embed_once([], embed, dimension=7)

    assert embed.calls == []
    assert done.vectors.shape == (0, 7)
    assert done.truncated.shape == (0,)


def test_a_bad_vector_is_named_by_the_callers_positions() -> None:
    def zero_for_b(texts: list[str]) -> Embedded:
        vectors = np.array([[0.0 if text == "b" else 1.0] for text in texts], np.float32)
        return Embedded(vectors, np.zeros(len(texts), np.bool_))

    with pytest.raises(EmbeddingRejected) as caught:
        embed_once(["a", "b", "ccc", "b"], zero_for_b, dimension=1)

    assert caught.value.positions == (1, 3)
