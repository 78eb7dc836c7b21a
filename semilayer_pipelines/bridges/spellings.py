"""Which key texts may be equal for a database that ignores case, accents, blanks or digits.

Only the database knows. This leaves out those that certainly differ, so that it need not be asked
about every key of an index: a coarse look at letters and digits, without a row of Python.
"""

from __future__ import annotations

import polars as pl

__all__ = ["may_equal"]

_LETTERS, _DIGITS, _PLAIN = "letters", "digits", "plain"


def may_equal(ids: pl.Series, keys: pl.Series) -> pl.Series:
    """Return those of `keys` that may equal one of `ids` in some collation or notation.

    Plain texts are compared by letters and digits, others by digits only: `ø` may be an `o`. Zeros
    never count: `7`, `07` and `7.0`.
    """
    wanted, given = _coarse(ids), _coarse(keys)
    plain = wanted.filter(_PLAIN)
    others = wanted.filter(~pl.col(_PLAIN))
    kept = given.select(
        (pl.col(_PLAIN) & pl.col(_LETTERS).is_in(plain[_LETTERS].implode()))
        | (~pl.col(_PLAIN) & pl.col(_DIGITS).is_in(wanted[_DIGITS].implode()))
        | pl.col(_DIGITS).is_in(others[_DIGITS].implode())
    ).to_series()
    return keys.filter(kept)


def _coarse(texts: pl.Series) -> pl.DataFrame:
    usual = texts.str.normalize("NFKC").str.to_lowercase()
    return pl.DataFrame(
        {
            _LETTERS: usual.str.replace_all("[^a-z1-9]", ""),
            _DIGITS: usual.str.replace_all("[^1-9]", ""),
            # A backslash writes a character of a composite key in another way.
            _PLAIN: ~usual.str.contains(r"[^\x00-\x7f]|\\"),
        }
    )
