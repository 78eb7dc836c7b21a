"""The tokens of a row: those of its keyword fields, each as often as the field has weight.

They follow from the mapped fields, so only rows that are written need them made.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.mapping.tokens import token_texts
from semilayer_pipelines.stores.protocol import WORDS

__all__ = ["has_keywords", "words_of"]

_ROW = "\0row"


def has_keywords(fields: Mapping[str, FieldConfig]) -> bool:
    """Say whether a search by keyword is possible: any of the fields has `keyword`."""
    return any(field.keyword for field in fields.values())


def words_of(rows: pl.DataFrame, fields: Mapping[str, FieldConfig]) -> pl.Series:
    """Return WORDS of mapped rows: their tokens with blanks between them, null where none; String.

    A token's place says nothing, only how often it is there.
    """
    found: list[pl.Series] = []
    for name, field in fields.items():
        if field.keyword:
            weight = field.searchable.weight if field.searchable else 1
            found += [_tokens(rows[name], names=field.keyword == "exact")] * weight
    columns = [tokens.alias(str(at)) for at, tokens in enumerate(found)]
    together = pl.concat_str(pl.all(), separator=" ", ignore_nulls=True).alias(WORDS)
    return pl.DataFrame(columns).select(together)[WORDS].replace("", None)


def _tokens(values: pl.Series, *, names: bool) -> pl.Series:
    if values.dtype != pl.List:
        return token_texts(values, names=names)
    # Each element is a text of its own, and perhaps a name.
    rows = pl.DataFrame({_ROW: pl.int_range(len(values), eager=True), WORDS: values})
    elements = rows.explode(WORDS, empty_as_null=True, keep_nulls=True)
    told = elements.with_columns(token_texts(elements[WORDS], names=names).alias(WORDS))
    joined = told.group_by(_ROW, maintain_order=True).agg(pl.col(WORDS).drop_nulls().str.join(" "))
    return joined[WORDS].replace("", None)
