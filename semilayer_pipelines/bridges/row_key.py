"""A row's key as text: what callers, the index and the registry know a row by.

A single key column's text is the value's text (`42`, a UUID, the text itself). A composite key's
text is the JSON array of its parts' texts, without spaces: `["7","en"]`. Databases compare keys;
this text is only ever tested for equality.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from semilayer_pipelines.bridges.unfit import with_unfit

__all__ = ["key_parts", "key_text_expr", "key_texts"]


def key_parts(text: str, columns: int) -> tuple[str, ...]:
    """Take a key's text apart, with blanks and with numbers that are not in quotes, too.

    Raises `ValueError` saying what was expected.
    """
    if columns == 1:
        return (text,)
    try:
        parts = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        parts = None
    if not isinstance(parts, list) or len(parts) != columns:
        raise ValueError(f"not a JSON array of {columns} key parts")
    if not all(isinstance(part, str | bool) for part in parts):
        raise ValueError("the parts of a composite key must be JSON strings or numbers")
    return tuple(part if isinstance(part, str) else str(part).lower() for part in parts)


def key_texts(frame: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """Return the key text of each row that a bridge gave; null where any part is null."""
    return with_unfit(frame).select(key_text_expr(key)).to_series()


def key_text_expr(columns: Sequence[str]) -> pl.Expr:
    """Return the expression for the key text of a frame's rows; null where any part is null.

    For frames whose values fit their columns; `key_texts` is for those that a bridge gives.
    """
    texts = [pl.col(column).cast(pl.String) for column in columns]
    if len(texts) == 1:
        return texts[0]
    wrapped = pl.struct(pl.concat_list(texts).alias("k")).struct.json_encode()
    encoded = wrapped.str.strip_prefix('{"k":').str.strip_suffix("}")
    complete = pl.all_horizontal(text.is_not_null() for text in texts)
    return pl.when(complete).then(encoded)
