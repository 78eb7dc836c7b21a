"""Opening turns what a lens says into the embedder it means."""

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder


@pytest.mark.parametrize(
    ("settings", "fingerprint"),
    [
        ({}, "sentence-transformers:sentence-transformers/all-MiniLM-L6-v2@main"),
        ({"model": "org/m", "revision": "r1"}, "sentence-transformers:org/m@r1"),
        ({"provider": "openai", "model": "m", "url": "http://h/v1"}, "openai:m"),
        (
            {"model": "org/m", "dimensions": 64, "precision": "int8"},
            "sentence-transformers:org/m@main:64:int8",
        ),
        ({"provider": "hash", "dimensions": 8}, "hash:all-MiniLM-L6-v2@:8"),
    ],
)
def test_each_provider_is_opened_and_names_its_space(
    settings: dict[str, object], fingerprint: str
) -> None:
    # A change here means that every index that exists is rebuilt.
    assert open_embedder(EmbeddingConfig(**settings), environ={}).fingerprint == fingerprint
