"""A fast counter is used only while it counts as the model's tokenizer does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from semilayer_pipelines.chunking import count
from semilayer_pipelines.chunking.count import Estimate, Exact, Words, counter_of
from semilayer_pipelines.embedders.local.fast_tokens import PROBED, FastTokens
from tests.chunking.making import reference, tokens


def test_the_fast_counters_count_as_the_reference_does() -> None:
    right = (tokens(PROBED) - 2).tolist()
    counter = counter_of(reference())

    assert counter.fast
    assert counter.adds_up
    assert counter.count(PROBED).tolist() == right
    assert Words(reference())(PROBED).tolist() == right


def test_words_are_counted_alike_the_first_time_and_again() -> None:
    texts = [
        "two words",
        "words\tof\n two  lines\n",
        "",
        " ",
        "a\u00a0b\x1cc\r\nwords",
        "two-words",
    ]
    words = Words(reference())

    for _ in range(2):
        assert words(texts).tolist() == (tokens(texts) - 2).tolist()


def test_words_that_never_come_again_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(count, "_KEPT_BYTES", 10_000)
    words = Words(reference())

    for at in range(50):
        texts = [f"word{at * 100 + n} again" for n in range(100)]
        assert words(texts).tolist() == (tokens(texts) - 2).tolist()

    assert len(words._known) < 300


def test_a_fast_counter_that_fails_the_probes_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FastTokens, "lengths", lambda _, texts: np.ones(len(texts), np.int64))

    counter = counter_of(reference())

    assert "is not used" in caplog.text
    assert counter.count(["a long word: tokenization"]).tolist() == [6]


def test_words_alone_are_not_counted_where_a_token_may_reach_over_a_blank() -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "new": 1, "york": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert counter_of(tokenizer).adds_up

    tokenizer.add_tokens(["new york"])
    counter = counter_of(tokenizer)

    assert not counter.adds_up
    assert counter.count(["new york", "york new"]).tolist() == [1, 2]


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
