"""Vectors of a batch are found by their texts, and all others are asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.batch_api import text_id
from semilayer_pipelines.embedders.fetched import FetchedEmbedder, read_lines
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.protocol import Embedded, PartlyEmbedded
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected

DIMENSION = 4


def line(text: str, vector: Sequence[float], *, status: int = 200) -> bytes:
    data = [{"index": 0, "embedding": list(vector)}]
    body = {"data": data, "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    response = {"status_code": status, "body": body}
    return json.dumps({"custom_id": text_id(text), "response": response}).encode() + b"\n"


class Rest(HashEmbedder):
    """Makes vectors of fours; refuses the texts that begin with "no", and notes what it is asked.

    Where it `tells` of others, these are made all the same.
    """

    def __init__(self, *, tells: bool = True, dimension: int = DIMENSION) -> None:
        super().__init__(EmbeddingConfig(provider="hash", dimensions=dimension))
        self.tells, self.length, self.asked = tells, dimension, list[str]()

    def embed(self, texts: Sequence[str]) -> Embedded:
        self.asked += texts
        bad = [n for n, text in enumerate(texts) if text.startswith("no")]
        good = [n for n in range(len(texts)) if n not in bad]
        made = Embedded(
            np.full((len(good), self.length), 4, np.float32),
            np.ones(len(good), np.bool_),
            np.full(len(good), 2),
        )
        if not bad:
            return made
        refusal = EmbeddingRejected("it is refused", positions=bad)
        if self.tells and good:
            raise PartlyEmbedded(refusal, positions=bad, kept=good, made=made)
        raise refusal


def test_texts_that_were_fetched_are_not_asked_for_and_all_are_in_order(tmp_path: Path) -> None:
    lines = BytesIO(line("b", [2] * 4) + line("a", [1] * 4))
    rest = Rest()
    folder = tmp_path / "folder"
    folder.mkdir()
    with read_lines(lines, folder, dimension=DIMENSION) as fetched:
        made = FetchedEmbedder(rest, fetched).embed(["x", "a", "y", "b", "a"])

    assert made.vectors[:, 0].tolist() == [4, 1, 4, 2, 1]
    assert made.truncated.tolist() == [True, False, True, False, False]
    assert made.tokens is not None
    assert made.tokens.tolist() == [2, 5, 2, 5, 5]
    assert rest.asked == ["x", "y"]
    assert not [*folder.iterdir()]


@pytest.mark.parametrize("tells", [True, False])
def test_a_refusal_keeps_what_was_fetched_and_names_the_texts_at_fault(
    tells: bool, tmp_path: Path
) -> None:
    with read_lines(BytesIO(line("a", [1] * 4)), tmp_path, dimension=DIMENSION) as fetched:
        embedder = FetchedEmbedder(Rest(tells=tells), fetched)
        with pytest.raises(PartlyEmbedded) as refused:
            embedder.embed(["yes", "a", "no"])

    error = refused.value
    assert error.positions == (2,)
    assert error.kept == ((0, 1) if tells else (1,))
    assert error.made.vectors[:, 0].tolist() == ([4, 1] if tells else [1])


def test_lines_that_nobody_can_use_are_left_out(tmp_path: Path) -> None:
    lines = [
        line("refused", [1] * 4, status=400),
        line("zero", [0] * 4),
        line("short", [1] * 3),
        b"no json\n",
        b'{"custom_id": "x", "response": null}\n',
        b'{"custom_id": "x", "response": {"status_code": 200, "body": {}}}\n',
        line("good", [1] * 4),
    ]
    with read_lines(BytesIO(b"".join(lines)), tmp_path, dimension=DIMENSION) as fetched:
        assert list(fetched.places) == [text_id("good")]
        assert fetched.vectors.shape == (1, DIMENSION)


def test_vectors_of_two_lengths_never_meet(tmp_path: Path) -> None:
    with read_lines(BytesIO(line("a", [1] * 4)), tmp_path, dimension=None) as fetched:
        embedder = FetchedEmbedder(Rest(dimension=3), fetched)
        with pytest.raises(DimensionChanged, match="3 numbers"):
            embedder.embed(["a", "b"])
