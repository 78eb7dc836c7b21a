"""The text of a row that is embedded.

Searchable fields in the order of the configuration, each on a line of its own, repeated `weight`
times; nulls and empty texts leave no line. Changing anything here changes every text hash and so
re-embeds every index: it needs a reason.

A text in which nothing can be seen says nothing. Endpoints refuse it, and a model gives every such
row the same vector, so it is never embedded.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.mapping.typed import Typed, plain_text

__all__ = ["embedded_text", "has_text"]

# Commas are all that a list of empty texts leaves. The last two are a Braille pattern without dots
# and the Hangul filler: letters that show nothing.
_VISIBLE = r"[^\s,\p{Z}\p{Cc}\p{Cf}\u{2800}\u{3164}]"


def embedded_text(fields: Mapping[str, FieldConfig], dtypes: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return the text (String, never null) over a frame of mapped fields with these dtypes."""
    lines: list[pl.Expr] = []
    for name, field in fields.items():
        if field.searchable:
            text = plain_text(Typed(pl.col(name), dtypes[name]))
            lines += [pl.when(text != "").then(text)] * field.searchable.weight
    return pl.concat_str(lines, separator="\n", ignore_nulls=True)


def has_text(texts: pl.Series) -> pl.Series:
    """Say which texts hold anything but white space, invisible characters and commas; Boolean."""
    return texts.str.contains(_VISIBLE)
