"""The words of a text, made here and once, so that every store finds the same rows.

Both stores get a text of tokens that they split at blanks. Neither stems, folds or leaves out
anything. The patterns run in Polars: on all texts of a page at once, and in time linear in their
length.

| of the text | tokens |
| --- | --- |
| `Große Fotos` | `grosse` `fotos` |
| `ERR_4711-b` | `err` `4711` `b`; identifiers `err_4711` `err_4711-b` |
| `libfoo2t64` | `libfoo2t64`; parts `libfoo` `64` |
| `getUserName` | `getusername`; parts `get` `user` `name` |
| `https://example.org/a` | `https` `example` `org` `a`; identifiers `example.org` and the address |
| `C++` | `c`; identifier `c++` |
| `東京都` | `東` `京` `都`; pairs `東京` `京都` |

A name has one token more: its words joined by `=`. A query that is the name of a row finds that row
before those that mention it.

Words are not stemmed. Five-letter beginnings of words, the kind of stem that needs no language,
moved no measured search by more than 0.01, and made codes in a question rank lower.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.mapping.folding import folded, plain

__all__ = [
    "MAX_KEYWORD_CHARACTERS",
    "MAX_QUERY_TOKENS",
    "MAX_TOKEN_CHARACTERS",
    "MEANING",
    "QueryTokens",
    "query_tokens",
    "token_texts",
]

MAX_KEYWORD_CHARACTERS = 1_000_000
"""Characters of a value that keyword search knows; what comes after is not looked at."""

MAX_TOKEN_CHARACTERS = 200
"""Characters of one token; a longer one is cut to that in rows and queries alike."""

MAX_QUERY_TOKENS = 200
"""Tokens of one query; a longer text is a question of its first words."""

MEANING = 1
"""Raise when other tokens are made of the same text; every row with keywords is written again."""

_NAME_CHARACTERS = 100
_NAME_WORDS = 8

# Scripts that put no blanks between words, and Korean, whose words end in particles.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\x{30fc}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_U = rf"[{_UNSPACED}]"
_W = rf"[\p{{L}}\p{{N}}\p{{M}}--[{_UNSPACED}]]"
_L = rf"[\p{{L}}--[{_UNSPACED}]]"
_WORD = rf"{_W}+"
_PAIR = _U + _U
_CHARACTER = r"[\p{Han}\p{Hangul}]"
# Inside a version, a file's name, a host; and between those of a path, an address, an assignment.
_INNER = r"[-._~+']{1,2}"
_OUTER = r"[-._~+'/:?&=@#%\\$]*[/:?&=@#%\\$][-._~+'/:?&=@#%\\$]*"
_JOINED = rf"{_W}+(?:{_INNER}{_W}+)+"
_IDENTIFIERS = (
    _JOINED,
    rf"{_W}+(?:_+{_W}+)+",
    rf"{_W}+(?:{_INNER}{_W}+)*(?:{_OUTER}{_W}+(?:{_INNER}{_W}+)*)+",
    rf"{_L}{_W}*(?:\+\+|#)",
)
_NAMED = rf"{_W}+(?:\+\+|#)?|{_U}+"
# A word in which letters meet digits, or a small letter a capital one, and where to part it.
_MIXED = rf"{_W}*(?:{_L}\p{{N}}|\p{{N}}{_L}|\p{{Ll}}\p{{Lu}}|\p{{Lu}}\p{{Lu}}\p{{Ll}}\p{{Ll}}){_W}*"
_BORDERS = (
    rf"({_L})(\p{{N}})",
    rf"(\p{{N}})({_L})",
    r"(\p{Ll})(\p{Lu})",
    r"(\p{Lu})(\p{Lu}\p{Ll}\p{Ll})",
)
_PART = rf"{_L}{{2,}}|\p{{N}}{{2,}}"
_TOO_LONG = rf"([^ ]{{{MAX_TOKEN_CHARACTERS}}})[^ ]+"
# `command-line` and `don't` are words to people; these are not.
_CODE = r"[\p{N}_./:?&=@#%\\$~+]"
_CODE_CHARACTERS = 3


@dataclass(frozen=True)
class QueryTokens:
    """What a query asks for: all its tokens, its name, and the codes among its words.

    A code is an identifier with more in it than letters and hyphens, or a word with a digit.
    """

    words: tuple[str, ...]
    name: tuple[str, ...]
    codes: tuple[str, ...]


def token_texts(texts: pl.Series, *, names: bool) -> pl.Series:
    """Return the tokens of each text with blanks between them, null where there are none; String.

    With `names` each text that is short enough has its name among them.
    """
    pieces = _pieces(_known(texts))
    columns = [pl.col(each) for each in pieces.columns if names or each != "name"]
    joined = pieces.select(_together(columns).alias("tokens"))
    return _cut(joined["tokens"]).replace("", None)


def query_tokens(text: str) -> QueryTokens:
    """Return the tokens of a query.

    A run of a script without blanks is asked for by its pairs, and by its characters only where it
    has no pair.
    """
    pieces = _pieces(_known(pl.Series([text])))
    found = {
        name: tuple(_cut(pieces[name])[0].split()) for name in pieces.columns if pieces[name][0]
    }
    if "pairs" in found:
        alone = folded(plain(_known(pl.Series([text])))).str.extract_all(rf"{_U}+")[0].to_list()
        single = {run for run in alone if len(run) == 1}
        found["characters"] = tuple(t for t in found.get("characters", ()) if t in single)
    identifiers = found.get("identifiers", ())
    told = pl.Series([*identifiers, *found.get("words", ())], dtype=pl.String)
    is_code = told.str.contains(_CODE)
    is_code &= (told.str.len_chars() >= _CODE_CHARACTERS) | told.is_in(list(identifiers))
    every = (token for tokens in found.values() for token in tokens)
    return QueryTokens(
        words=tuple(dict.fromkeys(every))[:MAX_QUERY_TOKENS],
        name=found.get("name", ()),
        codes=tuple(dict.fromkeys(told.filter(is_code)))[:MAX_QUERY_TOKENS],
    )


def _known(texts: pl.Series) -> pl.Series:
    # Bytes are counted for free, characters are not.
    long = bool((texts.str.len_bytes() > MAX_KEYWORD_CHARACTERS).any())
    return (texts.str.head(MAX_KEYWORD_CHARACTERS) if long else texts).fill_null("")


def _pieces(texts: pl.Series) -> pl.DataFrame:
    """Return the tokens of texts by their kinds, each a text with blanks between them."""
    cased = plain(texts)
    frame = pl.DataFrame({"text": folded(cased), "cased": cased})
    text = pl.col("text")
    parts = _all_of(pl.col("cased"), _MIXED)
    for border in _BORDERS:
        parts = parts.str.replace_all(border, "$1 $2")
    kinds = {
        "name": pl.lit(""),
        "words": _all_of(text, _WORD),
        "identifiers": _together([_all_of(text, pattern) for pattern in _IDENTIFIERS]),
        "parts": _all_of(parts.str.to_lowercase(), _PART),
    }
    if frame["text"].str.contains(_U).any():
        shifted = text.str.replace_all(rf"{_U}({_U}*)", " $1")
        kinds["pairs"] = _together([_all_of(text, _PAIR), _all_of(shifted, _PAIR)])
        kinds["characters"] = _all_of(text, _CHARACTER)
    return frame.select(**kinds).with_columns(name=_names(frame["text"]))


def _names(texts: pl.Series) -> pl.Series:
    """Return the name that each text is, empty where it is too long to be one."""
    short = (texts.str.len_chars() <= _NAME_CHARACTERS).arg_true()
    words = texts.gather(short).str.extract_all(_NAMED)
    name = pl.concat_str(pl.lit("="), pl.col("words").list.join("="))
    named = pl.col("words").list.len().is_between(1, _NAME_WORDS)
    told = words.to_frame("words").select(pl.when(named).then(name).otherwise(pl.lit("")))
    return pl.repeat("", len(texts), eager=True).scatter(short, told.to_series())


def _all_of(text: pl.Expr, pattern: str) -> pl.Expr:
    return text.str.extract_all(pattern).list.join(" ")


def _together(some: list[pl.Expr]) -> pl.Expr:
    return pl.concat_str(
        [pl.when(each != "").then(each) for each in some], separator=" ", ignore_nulls=True
    )


def _cut(tokens: pl.Series) -> pl.Series:
    return tokens.str.replace_all(_TOO_LONG, "$1")
