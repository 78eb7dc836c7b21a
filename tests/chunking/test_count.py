"""A fast counter is used only while it counts as the model's tokenizer does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from semilayer_pipelines.chunking import count
from semilayer_pipelines.chunking.count import PROBED, Estimate, Exact, counter_of
from tests.chunking.making import reference, tokens


def test_the_fast_counter_counts_as_the_reference_does() -> None:
    counter = counter_of(reference())

    assert counter.fast
    assert counter.adds_up
    assert counter.count(PROBED).tolist() == (tokens(PROBED) - 2).tolist()


def test_a_fast_counter_that_fails_the_probes_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(count, "_nanotoken", lambda _: lambda texts: np.ones(len(texts), np.int64))

    counter = counter_of(reference())

    assert not counter.fast
    assert "is not used" in caplog.text
    assert counter.count(["a long word: tokenization"]).tolist() == [6]


def test_a_fast_counter_that_fails_later_is_given_up_and_its_counts_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def wrong(texts: Sequence[str]) -> Any:
        return np.full(len(texts), 99, np.int64)

    counter = Exact(reference(), wrong)

    with caplog.at_level(logging.WARNING):
        counted = counter.count(["one", "two words", "three of them"])

    assert counted.tolist() == [1, 2, 3]
    assert not counter.fast
    assert caplog.text.count("counts other tokens") == 1


def test_a_tokenizer_that_the_fast_one_cannot_read_counts_itself() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()

    counter = counter_of(tokenizer)

    assert not counter.fast
    assert not counter.adds_up


def test_an_estimate_is_a_token_for_three_bytes() -> None:
    assert Estimate().count(["", "abc", "abcd", "漢字"]).tolist() == [0, 1, 2, 2]
