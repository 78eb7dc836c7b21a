"""Whether the rows of a lens stay what they are as long as nobody writes to its table.

A condition that looks at the time, at another table or through a function may leave a row out that
nobody wrote to. So may a transform of the user's own. For such a lens nothing is proven: every
smart sync reads every row. Views and row security are for the source to tell (`Bridge.written`).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from semilayer_pipelines.ingest.open_lens import OpenLens

__all__ = ["is_steady", "looks_at_its_row_alone"]

_WORDS = frozenset(
    {"and", "or", "not", "is", "null", "in", "like", "ilike", "between", "true", "false"}
)
_TAKE_A_LIST = frozenset({"and", "or", "not", "in"})
# Each is a column's name in quotes only.
_SPECIAL = re.compile(
    r"(current|local|session|system)_?(time|date|user|role|schema|catalog)?.*|user"
)
_MOVING = re.compile(r"now|today|tomorrow|yesterday", re.IGNORECASE)
_TOKEN = re.compile(
    r"""\s+
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"[^"]+"|`[^`]+`|\[[^]]+])
    | (?P<word>[^\W\d]\w*)(?P<called>\s*\()?
    | (?P<number>\d+(?:\.\d+)?)
    | <> | != | <= | >= | [=<>(),+*/%-]
    """,
    re.VERBOSE,
)


def is_steady(opened: OpenLens) -> bool:
    """Say whether rows of the lens change only by being written to, as far as the lens tells."""
    condition = opened.selection.where
    return (
        condition is None or looks_at_its_row_alone(condition, opened.mapping.kinds)
    ) and not any(plan.functions for plan in opened.mapping.plans)


def looks_at_its_row_alone(condition: str, columns: Collection[str]) -> bool:
    """Say whether a condition is made of columns, constants and plain operators; in doubt, no."""
    names = {column.lower() for column in columns}
    at = 0
    # Two signs may begin a comment, and a backslash has a meaning in some databases only.
    if any(sign in condition for sign in ("--", "/*", "#", "\\")):
        return False
    while at < len(condition):
        token = _TOKEN.match(condition, at)
        if token is None or not _is_plain(token, names):
            return False
        at = token.end()
    return True


def _is_plain(token: re.Match[str], names: Collection[str]) -> bool:
    if token["text"] is not None:
        # PostgreSQL reads 'now' and 'today' as times where it is compared with one.
        return not _MOVING.search(token["text"])
    if token["quoted"] is not None:
        return token["quoted"][1:-1].lower() in names
    if token["word"] is None:
        return True
    word = token["word"].lower()
    if word in _WORDS:
        return token["called"] is None or word in _TAKE_A_LIST
    return word in names and not _SPECIAL.fullmatch(word) and token["called"] is None
