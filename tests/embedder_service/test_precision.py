"""Half precision is kept where the vectors bear it, and taken back where they do not."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semilayer_pipelines.config.models import EmbeddingConfig
from semilayer_pipelines.embedder_service.precision import halve
from semilayer_pipelines.embedders.load_model import load_model
from semilayer_pipelines.embedders.model_source import find_model
from semilayer_pipelines.embedders.sentence_transformers import SentenceTransformersEmbedder
from tests.embedders.tiny_model import save_tiny_model

TEXTS = ["north", "east", "north east"]


@pytest.mark.parametrize(
    ("scale", "stays"),
    [
        pytest.param(1.0, True, id="fits"),
        pytest.param(1e6, False, id="overflows"),  # 65,504 is the largest number of 16 bits
    ],
)
def test_a_model_is_halved_only_when_its_vectors_stay_where_they_are(
    tmp_path: Path, scale: float, stays: bool
) -> None:
    folder = save_tiny_model(tmp_path / "model", scale=scale)
    embedder = SentenceTransformersEmbedder(EmbeddingConfig(model=str(folder)))
    before = embedder.embed(TEXTS).vectors
    model = load_model(find_model(str(folder), None))

    halved = halve(model, lambda: embedder.embed(TEXTS).vectors)

    assert halved is stays
    dtypes = {str(parameter.dtype) for parameter in model.parameters()}
    assert dtypes == {"torch.float16" if stays else "torch.float32"}
    after = embedder.embed(TEXTS).vectors
    assert after.dtype == np.float32
    assert cosines(before, after).min() > 0.999
    if not stays:
        assert after.tolist() == before.tolist()


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray((left * right).sum(axis=1) / lengths)
