"""Batches cost about the same, whatever the texts, and every text is in one of them."""

from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from semilayer_pipelines.embedders.local.batches import READ_AHEAD_TEXTS, Batch, batched
from semilayer_pipelines.embedders.local.tokens import Tokeniser, Tokens

PAD = 9


def tokeniser(limit: int = 500) -> Tokeniser:
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.enable_truncation(limit)
    return Tokeniser(words, PAD)


def batches_of(texts: Sequence[str], budget: int, limit: int = 500) -> list[Batch]:
    return list(batched(texts, tokeniser(limit), budget=budget, note=lambda *_: None))


def texts_of(number: int) -> list[str]:
    lengths = np.random.default_rng(5).geometric(0.02, number)
    return sorted((" ".join("ab"[n % 2] for n in range(n)) for n in lengths), key=len)[::-1]


def test_every_text_is_in_one_batch_with_its_own_tokens() -> None:
    texts = texts_of(3_000)

    batches = batches_of(texts, budget=1_024)

    places = np.concatenate([batch.places for batch in batches])
    assert sorted(places.tolist()) == list(range(len(texts)))
    for batch in batches:
        for place, ids, mask in zip(batch.places, batch.ids, batch.mask, strict=True):
            words = texts[place].split()[:500]
            assert ids[mask].tolist() == [1 + (word == "b") for word in words]
            assert (ids[~mask] == PAD).all()


def test_a_batch_keeps_to_the_budget_and_is_nearly_full() -> None:
    batches = batches_of(texts_of(3_000), budget=1_024)

    sizes = [batch.ids.size for batch in batches]
    assert max(sizes) <= 1_024
    assert np.mean(sizes) > 0.85 * 1_024
    assert sum(batch.mask.sum() for batch in batches) > 0.85 * sum(sizes)  # little of it padding


def test_a_text_beyond_the_budget_is_a_batch_of_its_own() -> None:
    first, second = batches_of(["a " * 400, "b"], budget=100)

    assert first.ids.shape == (1, 400)
    assert second.ids.shape == (1, 8)


@pytest.mark.parametrize(("limit", "width"), [(500, 24), (21, 21)])
def test_widths_are_rounded_but_not_beyond_what_the_model_reads(limit: int, width: int) -> None:
    [batch] = batches_of(["a " * 21], budget=1_024, limit=limit)

    assert batch.ids.shape == (1, width)


def test_texts_are_tokenised_while_the_batches_are_taken() -> None:
    noted: list[tuple[int, int]] = []

    def note(stretch: slice, tokens: Tokens) -> None:
        noted.append((stretch.start, len(tokens)))

    texts = ["a b"] * (READ_AHEAD_TEXTS + 10)
    batches = batched(texts, tokeniser(), budget=64, note=note)

    next(batches)
    assert noted == [(0, READ_AHEAD_TEXTS)]

    rest = list(batches)
    assert noted == [(0, READ_AHEAD_TEXTS), (READ_AHEAD_TEXTS, 10)]
    # Where the reading stopped is no end of a batch.
    assert {len(batch.places) for batch in rest[:-1]} == {8}


def test_a_few_texts_are_shared_out_among_what_runs_at_once() -> None:
    texts = ["a " * 40] * 20

    batches = list(batched(texts, tokeniser(), budget=2_048, note=lambda *_: None, parallel=4))

    assert [len(batch.places) for batch in batches] == [5, 5, 5, 5]
    [one] = batched(["a b"], tokeniser(), budget=2_048, note=lambda *_: None, parallel=4)
    assert one.ids.shape == (1, 8)


def test_no_texts_make_no_batch() -> None:
    assert batches_of([], budget=64) == []


def test_what_is_cut_is_told() -> None:
    tokens = tokeniser(limit=3).read(["a b a", "a b a b", ""])

    assert tokens.truncated.tolist() == [False, True, False]
    assert tokens.lengths.tolist() == [3, 3, 0]
    assert tokens.ids.tolist() == [1, 2, 1, 1, 2, 1]
