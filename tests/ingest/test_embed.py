from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import EmbeddingRejected, ModelUnavailable, TooManyFailures
from semilayer_pipelines.ingest.embed import MAX_TRIES, embed_page


class Picky:
    """Embeds by hash, rejects every call with a text that holds the word poison, and counts."""

    fingerprint = "picky"

    def __init__(self) -> None:
        self.inner = HashEmbedder(EmbeddingConfig(provider="hash", dimensions=8))
        self.alone: dict[str, int] = {}

    def embed(self, texts: Sequence[str]) -> Embedded:
        if any("poison" in text for text in texts):
            if len(texts) == 1:
                self.alone[texts[0]] = self.alone.get(texts[0], 0) + 1
            raise EmbeddingRejected("a poison text")
        return self.inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self.embed(texts)

    def reading(self) -> None:
        return None


@pytest.mark.parametrize("at", [0, 1, 499, 998, 999])
def test_one_poison_text_costs_one_row(at: int) -> None:
    texts = [f"text {n}" for n in range(1000)]
    texts[at] = "poison"
    embedder = Picky()

    page = embed_page(embedder, texts)

    assert list(page.rejected) == [at]
    assert page.kept.tolist() == [n for n in range(1000) if n != at]
    healthy = [text for text in texts if text != "poison"]
    np.testing.assert_array_equal(page.vectors, embedder.inner.embed(healthy).vectors)
    assert embedder.alone == {"poison": MAX_TRIES}


def test_an_embedder_that_rejects_everything_fails_the_page() -> None:
    with pytest.raises(TooManyFailures, match="21 rows of one page of 100"):
        embed_page(Picky(), ["poison"] * 100)


class Broken:
    """Rejects whatever it gets, or all but a plain word; counts its calls."""

    fingerprint = "broken"

    def __init__(self) -> None:
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> Embedded:
        self.calls += 1
        raise EmbeddingRejected("HTTP 400: no such deployment")

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self.embed(texts)

    def reading(self) -> None:
        return None


@pytest.mark.parametrize("rows", [30, 1_000, 2_000])
def test_an_embedder_that_is_plainly_broken_is_found_out_within_twenty_calls(rows: int) -> None:
    embedder = Broken()

    with pytest.raises(ModelUnavailable, match=r"also a plain word.*no such deployment"):
        embed_page(embedder, [f"text {n}" for n in range(rows)])

    assert embedder.calls <= 20


@pytest.mark.parametrize("poison", [range(20), range(980, 1000), range(490, 510)])
def test_poison_rows_side_by_side_do_not_pass_for_a_broken_embedder(poison: range) -> None:
    texts = [f"poison {n}" if n in poison else f"text {n}" for n in range(1_000)]

    page = embed_page(Picky(), texts)

    assert sorted(page.rejected) == list(poison)
    assert len(page.kept) == 980


def test_a_page_of_poison_alone_is_set_aside() -> None:
    assert sorted(embed_page(Picky(), ["poison"] * 5).rejected) == [0, 1, 2, 3, 4]


def test_no_texts_need_no_embedder() -> None:
    page = embed_page(Picky(), [])

    assert page.kept.size == 0
    assert not page.rejected
