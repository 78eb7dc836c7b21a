"""HTML and JSON as the text that a person would read in them.

Resiliparse reads HTML as a browser does, wrong HTML too, in some 10 MB a second. A text that is no
markup stays as it is: such columns often hold both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import polars as pl
from resiliparse.extract.html2text import extract_plain_text

__all__ = ["html_to_text", "json_to_text"]

_MARKUP = re.compile(r"<[a-zA-Z/!?]|&(?:#|[a-zA-Z])")


def html_to_text(texts: pl.Expr) -> pl.Expr:
    """Return what a page shows: paragraphs, list items and table rows on lines of their own.

    Scripts, styles, comments, forms and the page's head show nothing.
    """
    return _each(texts, _shown)


def json_to_text(texts: pl.Expr) -> pl.Expr:
    """Return a line `key.key: value` for each value, and one for a list of plain values."""
    return _each(texts, _listed)


def _each(texts: pl.Expr, change: Callable[[str], str]) -> pl.Expr:
    def changed(series: pl.Series) -> pl.Series:
        # Row by row, because the parsers take one text a call.
        made = [None if text is None else change(text) for text in series.to_list()]
        return pl.Series(series.name, made, dtype=pl.String)

    return texts.map_batches(changed, return_dtype=pl.String(), is_elementwise=True)


def _shown(text: str) -> str:
    if not _MARKUP.search(text):
        return text
    shown: str = extract_plain_text(text, alt_texts=True)
    return shown


def _listed(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    lines: list[str] = []
    left: list[tuple[str, Any]] = [("", value)]
    # Not by recursion, of which a deep value needs too much.
    while left:
        path, value = left.pop()
        match value:
            case dict():
                inner = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
                left += reversed(inner)
            case list() if any(isinstance(item, dict | list) for item in value):
                left += ((path, item) for item in reversed(value))
            case list():
                _line(path, ", ".join(word for item in value if (word := _word(item))), lines)
            case _:
                _line(path, _word(value), lines)
    return "\n".join(lines)


def _line(path: str, word: str, lines: list[str]) -> None:
    if word:
        lines.append(f"{path}: {word}" if path else word)


def _word(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value)
