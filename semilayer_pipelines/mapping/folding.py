"""One spelling for letters that people take for the same: case, accents, width, ligatures.

`Café`, `CAFÉ` and `cafe` are one word, and so are `Straße` and `strasse`. Marks that make another
letter in their script, such as Thai vowels or the dots of Japanese kana, stay.
"""

from __future__ import annotations

import polars as pl

__all__ = ["folded", "plain"]

_BEYOND_ASCII = r"[^\x00-\x7f]"
# Accents; the points of Hebrew and the vowel signs of Arabic, which few people write; what is not
# seen at all: the soft hyphen, joiners, marks of direction.
_LEFT_OUT = (
    r"[\x{300}-\x{36f}\x{591}-\x{5bd}\x{5bf}\x{5c1}\x{5c2}\x{5c4}\x{5c5}\x{5c7}\x{640}"
    r"\x{64b}-\x{65f}\x{670}\x{ad}\x{200b}-\x{200f}\x{2060}\x{feff}]"
)
# Letters that Unicode does not take apart, and that people replace where they cannot type them.
_REPLACED = {
    "ß": "ss",
    "ς": "σ",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ħ": "h",
    "ı": "i",
    "’": "'",
    "‘": "'",
    "‐": "-",
    "–": "-",
    "−": "-",
}


def plain(texts: pl.Series) -> pl.Series:
    """Return texts (String) without accents, ligatures and other widths; case stays."""
    odd = texts.str.contains(_BEYOND_ASCII).fill_null(False).arg_true()
    if odd.is_empty():
        return texts
    taken_apart = texts.gather(odd).str.normalize("NFKD").str.replace_all(_LEFT_OUT, "")
    # Korean syllables and Japanese kana are taken apart too, and are one character again now.
    return texts.scatter(odd, taken_apart.str.normalize("NFC"))


def folded(texts: pl.Series) -> pl.Series:
    """Return what `plain` gave in small letters."""
    small = texts.str.to_lowercase()
    odd = small.str.contains(_BEYOND_ASCII).fill_null(False).arg_true()
    if odd.is_empty():
        return small
    return small.scatter(odd, small.gather(odd).str.replace_many(_REPLACED))
