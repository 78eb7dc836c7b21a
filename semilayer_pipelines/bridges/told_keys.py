"""Keys as a database's log tells them, in the spelling of the index.

A log has values as the database itself writes them; the index knows a row by the text that a walk
gives its key. For most types that is the same text, and no question to the database is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Query, SourceColumn, Sql
from semilayer_pipelines.bridges.frames import frame_of
from semilayer_pipelines.bridges.ids import typed
from semilayer_pipelines.bridges.row_key import key_text_expr
from semilayer_pipelines.bridges.unfit import with_unfit

__all__ = ["spelled"]


def spelled(key: Sequence[SourceColumn], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the key text of each row, given the texts of its key's parts in key order.

    A part that is no value of its column's type stays as it is.
    """
    if not rows:
        return []
    parts = [
        _texts(column, texts)
        for column, texts in zip(key, map(list, zip(*rows, strict=True)), strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    names = [str(place) for place in range(len(parts))]
    frame = pl.DataFrame(
        dict(zip(names, parts, strict=True)), schema=dict.fromkeys(names, pl.String)
    )
    return frame.select(key_text_expr(names)).to_series().to_list()


def _texts(column: SourceColumn, texts: list[str]) -> list[str]:
    kind, declared = column.column.kind, column.column.database_type
    match kind:
        case "integer" | "uuid":
            return texts
        case "number" if column.dtype == pl.String():
            return texts
        case "text" if declared.startswith("character(") or declared == "character":
            # The log has the blanks that fill a PostgreSQL char(n) up.
            return [text.rstrip(" ") for text in texts]
        case "other" if declared == "inet":
            # PostgreSQL's cast to text says the mask of a single address, its output does not.
            return [text if "/" in text else f"{text}/{_all_bits(text)}" for text in texts]
        case "text" | "other" | "json":
            return texts
        case _:
            return _as_walked(column, texts)


def _all_bits(address: str) -> int:
    return 128 if ":" in address else 32


def _as_walked(column: SourceColumn, texts: list[str]) -> list[str]:
    """Return the texts that a walk would make of the values."""
    values: list[tuple[Scalar]] = []
    others: dict[int, str] = {}
    for place, text in enumerate(texts):
        try:
            values.append((_value(column, text),))
        except ValueError:
            others[place] = text
    name = column.column.name
    frame = frame_of(Query((column,), (), (name,), Sql(""), None), values)
    walked = iter(with_unfit(frame)[name].cast(pl.String).to_list())
    return [others[at] if at in others else next(walked) for at in range(len(texts))]


def _value(column: SourceColumn, text: str) -> Scalar:
    if isinstance(column.dtype, pl.Float32 | pl.Float64):
        return float(text)  # infinity is none that a caller may name, and a column may hold it
    return typed(column, text, nul_in_text=True)
