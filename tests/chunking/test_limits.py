"""No chunk is longer than the model reads, nothing is lost, and no character is cut in two."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import accumulate

import polars as pl
import pytest
import unicode_segmentation_rs as unicode

from semilayer_pipelines.chunking.count import Exact, Words
from semilayer_pipelines.chunking.split import Splitter
from semilayer_pipelines.mapping.embedded_text import has_text
from semilayer_pipelines.mapping.plan import TEXT
from semilayer_pipelines.stores.chunks.protocol import END, START
from tests.chunking.making import LIMIT, made, reference, rows, tokens

_RANDOM = random.Random(1)
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

NASTY = {
    "one word of letters": "a" * 200_000,
    "words of 105 letters": " ".join("x" * 105 for _ in range(2_000)),
    "punctuation": "!" * 20_000,
    "underscores": "_" * 20_000,
    "digits": "1234567890" * 5_000,
    "base64": "".join(_RANDOM.choices(_BASE64, k=20_000)),
    "hashes": " ".join("".join(_RANDOM.choices("0123456789abcdef", k=40)) for _ in range(500)),
    "Chinese without blanks": "中文句子" * 5_000,
    "Japanese": "ひらがなとカタカナの文章です。" * 500,
    "Thai without blanks": "ภาษาไทยไม่มีช่องว่างระหว่างคำ" * 700,
    "Korean": "한국어문장입니다. " * 800,
    "Arabic": "هذا نص عربي طويل. " * 800,
    "emoji": "👩‍👩‍👧‍👦🇩🇪👍🏽" * 2_000,
    "combining marks": ("e" + "\u0301" * 500 + " ") * 100,
    "one character of marks": "e" + "\u0301" * 20_000,
    "tabs": "a\tb\tc\n" * 2_000,
    "a table": "| a | b |\n|---|---|\n" * 1_000,
    "code": "def f(x):\n    return {x: [y for y in x]}\n\n" * 400,
    "carriage returns": "line one is here\r\n\r\nsecond. Third is.\r\n" * 400,
    "NUL": "a\0b c\0 " * 1_000,
    "soft hyphens": "co\u00adop\u00ader\u00ada\u00adtion " * 500,
    "zero-width spaces": "word\u200bother\u200b" * 1_000,
    "addresses": "https://example.org/a/b?c=d&e=f#g-" * 500,
    "special tokens": "[SEP] [CLS] [MASK] x " * 800,
    "odd blanks": "a\u00a0b\u2003c\u3000d " * 1_000,
    "mostly blanks": " " * 50_000 + "x " * 600 + "\n" * 20_000,
}
SIZES = {"auto": {}, "small": {"chunking": {"size": 40, "overlap": 10}}}


@pytest.fixture(params=SIZES)
def limited(request: pytest.FixtureRequest) -> tuple[Splitter, int]:
    changed = SIZES[request.param]
    return made(**changed), changed.get("chunking", {}).get("size", LIMIT)


@pytest.mark.parametrize("name", NASTY)
def test_every_chunk_fits_and_nothing_visible_is_lost(
    name: str, limited: tuple[Splitter, int]
) -> None:
    cut, limit = limited
    body = NASTY[name]
    characters = unicode.graphemes(body, is_extended=True)
    between = set(accumulate(map(len, characters), initial=0))
    largest = max(map(len, characters))

    chunks = cut.split(rows((name, body)))

    if chunks.is_empty():
        assert tokens([f"{name}\n{body}"])[0] <= limit
        return
    assert tokens(chunks[TEXT].to_list()).max() <= limit
    done = 0
    for start, end, text in chunks.select(START, END, TEXT).iter_rows():
        assert text == f"{name}\n{body[start:end]}"
        assert start < end
        assert not has_text(pl.Series([body[done:start]])).any()
        done = max(done, end)
        assert largest > limit or {start, end} <= between
    assert not has_text(pl.Series([body[done:]])).any()


@pytest.mark.parametrize("fast", [None, Words(reference())], ids=["none", "words"])
def test_every_counter_cuts_alike(fast: Words | None) -> None:
    cut = made()
    assert cut.limits.counter.fast
    other = replace(cut, limits=replace(cut.limits, counter=Exact(reference(), fast)))
    texts = rows(*NASTY.items())

    assert other.split(texts).equals(cut.split(texts))


def test_a_line_of_five_megabytes_is_cut_in_seconds() -> None:
    body = " ".join(f"word{n * 7919 % 10_007}" for n in range(600_000))

    chunks = made().split(rows(("T", body)))

    assert chunks.height > 5_000
    assert tokens(chunks[TEXT].sample(500, seed=1).to_list()).max() <= LIMIT
