"""What embedding would take is concluded from embedding a little of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.queries.estimate import Estimate, estimate
from semilayer_pipelines.queries.findings import ToEmbed
from tests.embedders.tiny_model import save_tiny_model


def test_a_model_that_counts_its_tokens_is_believed(tmp_path: Path) -> None:
    model = str(save_tiny_model(tmp_path / "model"))
    embedder = open_embedder(EmbeddingConfig(model=model), environ={}, service=None)

    # given a thousand texts of which two were seen, of three tokens together
    found = estimate(embedder, ToEmbed(1_000, 9_000, ("north", "east north")), price=2.0)

    assert (found.texts, found.tokens) == (1_000, 1_500)
    assert found.money == pytest.approx(0.003)
    assert found.seconds > 0


def test_of_other_models_a_token_is_taken_for_four_characters() -> None:
    embedder = open_embedder(EmbeddingConfig(provider="hash"), environ={}, service=None)

    found = estimate(embedder, ToEmbed(10, 4_000, ("amber",)), price=None)

    assert (found.tokens, found.money) == (1_000, None)


def test_nothing_to_embed_needs_no_model() -> None:
    missing = open_embedder(EmbeddingConfig(model="/no/such/model"), environ={}, service=None)

    assert estimate(missing, ToEmbed(0, 0, ()), price=1.0) == Estimate(0, 0, 0.0, 0.0)
