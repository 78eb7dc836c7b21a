"""The text of a row that is embedded.

Searchable fields in the order of the configuration, each on a line of its own, repeated `weight`
times; nulls and empty texts leave no line. Changing anything here changes every text hash and so
re-embeds every index: it needs a reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.mapping.typed import Typed, plain_text

__all__ = ["embedded_text"]


def embedded_text(fields: Mapping[str, FieldConfig], dtypes: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return the text (String, never null) over a frame of mapped fields with these dtypes."""
    lines: list[pl.Expr] = []
    for name, field in fields.items():
        if field.searchable:
            text = plain_text(Typed(pl.col(name), dtypes[name]))
            lines += [pl.when(text != "").then(text)] * field.searchable.weight
    return pl.concat_str(lines, separator="\n", ignore_nulls=True)
