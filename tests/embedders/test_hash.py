"""The hash embedder gives the same vector for a text everywhere and always."""

import numpy as np
import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.hash import HashEmbedder


def embedder(**settings: object) -> HashEmbedder:
    return HashEmbedder(EmbeddingConfig(provider="hash", **settings))


def test_a_vector_is_the_same_on_every_platform_and_in_every_version() -> None:
    # Written down once; a change here means that every index made with `hash` is void.
    vector = embedder(dimensions=5).embed(["naïve café"]).vectors[0]

    assert [number.hex() for number in vector.tolist()] == [
        "-0x1.7c57220000000p-4",
        "0x1.8cb0140000000p-2",
        "0x1.7f08960000000p-1",
        "0x1.f9b3b20000000p-2",
        "-0x1.8de5a00000000p-3",
    ]


def test_vectors_are_unit_length_float32_and_unrelated() -> None:
    vectors = embedder().embed([f"text {i}" for i in range(500)]).vectors

    assert vectors.shape == (500, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    cosines = vectors @ vectors.T - np.eye(500)
    assert abs(cosines).max() < 0.35
    assert abs(vectors.mean()) < 0.001


def test_a_text_has_one_vector_whatever_its_company() -> None:
    alone = embedder().embed(["the text"]).vectors[0]
    among = embedder().embed([*(str(i) for i in range(3000)), "the text", "the text"]).vectors

    assert np.array_equal(among[-1], alone)
    assert np.array_equal(among[-2], alone)


@pytest.mark.parametrize("dimension", [1, 3, 4, 385])
def test_any_dimension_can_be_had_and_no_vector_is_zero(dimension: int) -> None:
    done = embedder(dimensions=dimension).embed([str(i) for i in range(2000)])

    assert done.vectors.shape == (2000, dimension)
    assert not done.truncated.any()


def test_another_model_name_is_another_space() -> None:
    one, other = embedder(model="one"), embedder(model="other")

    assert one.fingerprint != other.fingerprint
    assert not np.array_equal(one.embed(["a"]).vectors, other.embed(["a"]).vectors)


def test_an_empty_text_has_a_vector_too() -> None:
    assert embedder().embed([""]).vectors.any()
