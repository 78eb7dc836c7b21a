"""Texts that hold a list, as databases without array types keep them.

Two forms are read: a JSON array and PostgreSQL's array literal (`{a,"b c",NULL}`). Any other text
becomes null, never a list of one.
"""

from __future__ import annotations

import json
import re

import polars as pl

__all__ = ["parse_lists"]

_LITERAL_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}]+)')
_LITERAL = re.compile(rf"\{{(?:(?:{_LITERAL_ITEM.pattern})(?:,(?:{_LITERAL_ITEM.pattern}))*)?\}}")


def parse_lists(texts: pl.Expr, *, as_json: bool = False) -> pl.Expr:
    """Return List(String) with the plain text of each element, or its JSON with `as_json`."""

    def parsed(series: pl.Series) -> pl.Series:
        # Row by row, because Polars' JSON reader gives up the whole page for one bad row and has
        # no notion of PostgreSQL's literals; only text columns of array fields come this way.
        lists = [None if text is None else _list_of(text, as_json) for text in series.to_list()]
        return pl.Series(series.name, lists, dtype=pl.List(pl.String))

    return texts.map_batches(parsed, return_dtype=pl.List(pl.String), is_elementwise=True)


def _list_of(text: str, as_json: bool) -> list[str | None] | None:
    text = text.strip()
    if text.startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return [_element(item, as_json) for item in items] if isinstance(items, list) else None
    if _LITERAL.fullmatch(text):
        return [_literal_item(match) for match in _LITERAL_ITEM.finditer(text)]
    return None


def _element(item: object, as_json: bool) -> str | None:
    if item is None:
        return None
    if isinstance(item, str) and not as_json:
        return item
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def _literal_item(match: re.Match[str]) -> str | None:
    quoted, bare = match.groups()
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted)
    return None if bare.upper() == "NULL" else bare.strip()
