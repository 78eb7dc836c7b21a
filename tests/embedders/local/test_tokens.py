"""Token ids are the reference's, whoever makes them; a difference is found, told and ends it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from semilayer_pipelines.chunking.count import counter_of
from semilayer_pipelines.embedders.local import fast_tokens as fast
from semilayer_pipelines.embedders.local.fast_tokens import PROBED, FastTokens, fast_tokens
from semilayer_pipelines.embedders.local.tokens import Tokeniser, Tokens
from tests.chunking.making import reference

LIMIT = 16


@pytest.fixture(autouse=True)
def opened_anew() -> Iterator[None]:
    """What was given up is given up for the process: each test has a process of its own."""
    fast._opened.cache_clear()
    yield
    fast._opened.cache_clear()


TEXTS = [*PROBED, *(f"word {n} of a text " * (n % 7) + "e\u0301\u0323 ÿ漢" for n in range(600))]


def limited(limit: int | None = LIMIT) -> Tokenizer:
    made = Tokenizer.from_str(reference().to_str())
    if limit is not None:
        made.enable_truncation(limit)
    return made


def expected(tokenizer: Tokenizer, texts: Sequence[str], special: bool = True) -> Tokens:
    made = [tokenizer.encode(text, add_special_tokens=special) for text in texts]
    return Tokens(
        np.array([id for one in made for id in one.ids], np.int32),
        np.array([len(one.ids) for one in made], np.int64),
        np.array([bool(one.overflowing) for one in made]),
    )


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("limit", [None, 3, LIMIT, 256])
def test_both_ways_give_the_ids_of_the_tokenizer(limit: int | None, special: bool) -> None:
    tokeniser = Tokeniser(limited(limit), 0, special=special)
    assert tokeniser._fast is not None
    right = expected(limited(limit), TEXTS, special)

    assert tokeniser.read(TEXTS).same(right)
    tokeniser._fast = None
    assert tokeniser.read(TEXTS).same(right)
    assert len(tokeniser.read([])) == 0


def test_two_threads_may_read_at_once() -> None:
    tokeniser = Tokeniser(limited(), 0)
    right = expected(limited(), TEXTS)

    with ThreadPoolExecutor(2) as threads:
        read = list(threads.map(tokeniser.read, [TEXTS] * 8))

    assert all(tokens.same(right) for tokens in read)


def test_a_wrong_id_in_the_sample_ends_it_for_the_process_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a fast equal that is right on the probes, and not on other texts
    right_way = FastTokens.read

    def wrong_later(self: FastTokens, texts: Sequence[str], *args: Any, **kwargs: Any) -> Any:
        ids, lengths, cut = right_way(self, texts, *args, **kwargs)
        return (ids if texts == PROBED else ids + 1), lengths, cut

    monkeypatch.setattr(FastTokens, "read", wrong_later)
    tokeniser, another = Tokeniser(limited(), 0), Tokeniser(limited(), 0)
    counter = counter_of(limited(None))
    assert counter.fast

    # when
    with caplog.at_level(logging.WARNING):
        first, second = tokeniser.read(TEXTS), tokeniser.read(TEXTS)

    # then
    assert first.same(expected(limited(), TEXTS))
    assert second.same(first)
    assert another.read(TEXTS).same(first)
    assert Tokeniser(limited(), 0).read(TEXTS).same(first)
    assert caplog.text.count("gives other tokens") == 1
    assert not counter.fast
    assert fast_tokens(limited(None)) is None


def test_a_fast_equal_that_breaks_down_is_given_up_and_the_texts_are_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given one that panics on a text, as Rust does: that is no `Exception`
    panic = type("PanicException", (BaseException,), {})
    tokeniser, counter = Tokeniser(limited(), 0), counter_of(limited(None))
    shared = fast_tokens(limited())
    assert shared is not None

    class Panics:
        def encode_batch(self, *_: Any, **__: Any) -> Any:
            raise panic("index out of bounds")

    monkeypatch.setattr(shared, "_fast", Panics())

    # when
    tokens = tokeniser.read(TEXTS)

    # then
    assert tokens.same(expected(limited(), TEXTS))
    assert caplog.text.count("index out of bounds") == 1
    assert counter.count(["one", "two words"]).tolist() == [1, 2]


def test_a_text_that_nobody_reads_is_no_reason_to_give_up(caplog: pytest.LogCaptureFixture) -> None:
    tokeniser = Tokeniser(limited(), 0)

    with pytest.raises(TypeError):
        tokeniser.read(["a", "half a pair \ud83d"])

    assert tokeniser.read(TEXTS).same(expected(limited(), TEXTS))
    assert tokeniser._fast is not None
    assert not tokeniser._fast.given_up
    assert not caplog.text


@pytest.mark.parametrize("error", [ValueError("no such kind"), TypeError("no such argument")])
def test_one_that_fails_the_probes_by_raising_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(FastTokens, "_encoded", fails)

    assert Tokeniser(limited(), 0).read(TEXTS).same(expected(limited(), TEXTS))
    assert counter_of(limited(None)).count(["two words"]).tolist() == [2]
    assert "is not used" in caplog.text


@pytest.mark.parametrize(("texts", "least"), [(1, 1), (8, 8), (100, 8), (2_560, 10)])
def test_one_text_in_256_is_read_both_ways_and_at_least_eight(
    monkeypatch: pytest.MonkeyPatch, texts: int, least: int
) -> None:
    tokeniser = Tokeniser(limited(), 0)
    read: list[int] = []
    by_reference = tokeniser._by_reference

    def counting(some: Sequence[str]) -> Tokens:
        read.append(len(some))
        return by_reference(some)

    monkeypatch.setattr(tokeniser, "_by_reference", counting)
    tokeniser.read([f"text {n}" for n in range(texts)])

    assert read == [least]


def test_what_fails_the_probes_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right_way = FastTokens.read
    monkeypatch.setattr(
        FastTokens, "read", lambda self, texts, *a, **k: right_way(self, list(texts)[::-1], *a, **k)
    )

    tokeniser = Tokeniser(limited(), 0)

    assert "is not used" in caplog.text
    assert tokeniser.read(TEXTS).same(expected(limited(), TEXTS))


def test_other_kinds_of_tokenizers_read_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "[S]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = TemplateProcessing(single="[S] $A", special_tokens=[("[S]", 2)])
    left = limited()
    left.enable_truncation(LIMIT, direction="left")

    assert fast_tokens(words) is None
    assert Tokeniser(words, 0).read(["a b", ""]).ids.tolist() == [2, 1, 0, 2]
    assert Tokeniser(left, 0).read(TEXTS).same(expected(left, TEXTS))


def test_one_fast_equal_serves_who_counts_and_who_embeds() -> None:
    assert fast_tokens(limited()) is fast_tokens(limited(None))
