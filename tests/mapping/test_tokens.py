"""How texts are cut into tokens, and that a query finds what people expect it to find."""

from __future__ import annotations

import random
import time

import polars as pl
import pytest

from semilayer_pipelines.mapping.tokens import (
    MAX_KEYWORD_CHARACTERS,
    MAX_QUERY_TOKENS,
    MAX_TOKEN_CHARACTERS,
    query_tokens,
    token_texts,
)


def tokens(text: str, *, names: bool = False) -> set[str]:
    return set((token_texts(pl.Series([text]), names=names)[0] or "").split(" ")) - {""}


def finds(query: str, text: str) -> bool:
    """Say whether a query has a token in common with a text."""
    return bool({*query_tokens(query).words} & tokens(text))


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("Fix for ERR_4711-b.", ["ERR_4711-b", "err_4711", "4711", "ERR", "b"]),
        ("(libfoo2t64)", ["libfoo2t64", "libfoo", "LIBFOO", "64"]),
        ("see https://Example.org/a/b?c=d#e,", ["https://example.org/a/b?c=d#e", "example.org"]),
        ("/usr/share/doc/README.md", ["README.md", "/usr/share/doc", "readme"]),
        ("version 1.2.3-4ubuntu1~deb10u1", ["1.2.3-4ubuntu1~deb10u1", "1.2.3-4ubuntu1", "ubuntu"]),
        ("jane.doe@example.com", ["jane.doe@example.com", "jane doe", "EXAMPLE.com"]),
        ("C++, C# and F#", ["c++", "C#", "f#"]),
        ("getUserName XMLParser", ["getusername", "user name", "xml"]),
        ("GROSSE Straße Café ﬁle ＡＢＣ", ["große", "STRASSE", "cafe", "file", "abc"]),
        ("cafe strasse", ["Café", "Straße"]),
        (
            "İstanbul ΣΊΣΥΦΟΣ ёлка Łódź smørrebrød",
            ["istanbul", "σισυφος", "елка", "lodz", "smorrebrod"],
        ),
        ("l’avion don't", ["l'avion", "avion", "don’t"]),
        ("to be or not to be", ["to be", "not"]),
        ("この写真を編集する", ["写真", "編集", "真"]),
        ("我的照片库", ["照片", "库"]),
        ("사진을 편집한다", ["사진", "편집"]),
        ("แก้ไขรูปภาพ", ["รูปภาพ", "แก้ไข"]),
        ("ガイド ｶﾞｲﾄﾞ", ["ガイド"]),
        ("हिन्दी में", ["हिन्दी"]),
        ("العَرَبِيَّة", ["العربية"]),
        ("co­operate zero\u200bwidth", ["cooperate", "zerowidth"]),
        ("a‑b 2–3", ["a-b", "2-3"]),
        ("🙂 emoji🙂glued", ["emoji", "glued"]),
    ],
)
def test_a_text_is_found_by_what_stands_in_it(text: str, queries: list[str]) -> None:
    for query in queries:
        assert finds(query, text), query


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("Fix for ERR_4711-b", ["471", "711"]),
        ("libfoo2t64", ["lib", "foo"]),
        ("the cat", ["category", "th"]),
        ("東京都", ["京東", "大阪"]),
        ("C", ["c++"]),
        ("parcels", ["parcel"]),
    ],
)
def test_a_text_is_not_found_by_what_does_not(text: str, queries: list[str]) -> None:
    for query in queries:
        shared = {*query_tokens(query).words} & tokens(text)
        assert not shared - {"c"}, (query, shared)


def test_an_identifier_is_a_token_as_a_whole_however_long_up_to_a_limit() -> None:
    long = "https://example.org/" + "segment/" * 15 + "end"
    assert long in tokens(f"at {long}.")

    blob = "x" * 5_000
    assert max(map(len, tokens(blob))) == MAX_TOKEN_CHARACTERS
    assert finds(blob, blob)


def test_a_name_is_one_token_however_it_is_punctuated() -> None:
    for spelling in ("ERR_4711-b", "err 4711 b", " Err.4711/B "):
        assert query_tokens(spelling).name == ("=err=4711=b",), spelling
        assert "=err=4711=b" in tokens(spelling, names=True)
        assert "=err=4711=b" not in tokens(spelling)
    assert query_tokens("C++").name != query_tokens("C").name
    assert query_tokens("東京都").name == ("=東京都",)
    assert query_tokens("a sentence of many words that is the name of no thing at all").name == ()
    assert query_tokens("?!").name == ()


def test_a_query_knows_its_codes_from_its_words() -> None:
    question = "how do I fix ERR_4711-b on the command-line of v1.2 at example.org? don't"
    assert {*query_tokens(question).codes} == {
        "err_4711-b",
        "err_4711",
        "4711",
        "v1.2",
        "example.org",
    }
    assert query_tokens("where is my parcel").codes == ()


def test_pairs_are_asked_for_and_characters_only_where_there_is_no_pair() -> None:
    assert {*query_tokens("東京都").words} == {"=東京都", "東京", "京都"}
    assert {*query_tokens("猫 東京").words} == {"=猫=東京", "猫", "東京"}


def test_nothing_gives_nothing() -> None:
    texts = pl.Series([None, "", "  \n", "…", "🙂", "\0"], dtype=pl.String)
    assert token_texts(texts, names=True).to_list() == [None] * len(texts)
    assert token_texts(texts.clear(), names=True).to_list() == []
    for text in texts.drop_nulls():
        assert query_tokens(text).words == ()


def test_tokens_of_a_text_do_not_depend_on_its_neighbours() -> None:
    chars = "aB1_-./ é東京ガก้사ß\n+#=x\0🙂'’̈"
    rng = random.Random(7)
    texts = ["".join(rng.choices(chars, k=rng.randrange(40))) for _ in range(300)]

    together = token_texts(pl.Series(texts), names=True)

    assert together.to_list() == [token_texts(pl.Series([t]), names=True)[0] for t in texts]
    for text, told in zip(texts, together, strict=True):
        words = query_tokens(text).words[:MAX_QUERY_TOKENS]
        assert {*words} <= {*(told or "").split(" ")}, repr(text)
        assert all(token and not token.isspace() for token in (told or "a").split(" "))


def test_a_long_text_takes_no_longer_than_its_known_part() -> None:
    huge = "hello wörld of ERR_1 東京 " * 2_500_000  # 70 MB
    started = time.process_time()

    told = token_texts(pl.Series([huge]), names=True)[0]

    assert time.process_time() - started < 20
    assert len(told) < 6 * MAX_KEYWORD_CHARACTERS
    assert "last" not in tokens(huge + "last")
    assert len(query_tokens(huge[:100_000]).words) <= MAX_QUERY_TOKENS


@pytest.mark.parametrize(
    "unit", ["a-", "a/", "a./-", "a1", "aB", "a'", "東", "é", "a_", "https://a"]
)
def test_hostile_texts_are_cut_in_linear_time(unit: str) -> None:
    started = time.process_time()
    token_texts(pl.Series([unit * (MAX_KEYWORD_CHARACTERS // len(unit))]), names=True)
    assert time.process_time() - started < 20
