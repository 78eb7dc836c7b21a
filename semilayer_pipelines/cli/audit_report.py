"""An audit as a person or a program reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from semilayer_pipelines.queries.findings import Audit, Kind

__all__ = ["audit_json", "found_lines", "reporting"]

SHOWN_IN_LINE = 5
ROWS_A_LINE = 500_000
SECONDS_A_LINE = 5.0


def found_lines(audit: Audit, words: Mapping[Kind, str]) -> list[str]:
    """Return a line for each kind that was found, under its word, with the first ids."""
    told = {word: kind for kind, word in words.items() if audit.found[kind].count}
    width = max(map(len, told), default=0)
    return [
        f"  {word:<{width}}  {audit.found[kind].count:>9,}  {_ids(audit, kind)}".rstrip()
        for word, kind in told.items()
    ]


def audit_json(audit: Audit) -> dict[str, object]:
    """Return an audit as JSON, kinds by camelCase names."""
    kinds = {
        _camel(kind.value): {"count": found.count, "ids": list(found.ids)}
        for kind, found in audit.found.items()
    }
    return {
        "rows": audit.rows,
        "objects": audit.objects,
        **kinds,
        "alteredIn": {key: list(fields) for key, fields in audit.altered.items()},
        "searched": audit.looked.searched,
        "readBack": audit.looked.read,
        "restarted": audit.looked.restarted,
        "nulled": dict(audit.nulled),
        "hidden": audit.hidden and audit.hidden.reason,
        "problems": audit.problems,
    }


def reporting(tell: Callable[[str], None], lens: str) -> Callable[[int], None]:
    """Return a function that tells now and then how far a long walk is."""
    told = 0

    def report(rows: int) -> None:
        nonlocal told
        if rows - told >= ROWS_A_LINE:
            told = rows
            tell(f"{lens}: {rows:,} rows compared")

    return report


def reporting_search(tell: Callable[[str], None], lens: str) -> Callable[[int, int], None]:
    """Return a function that tells now and then how many rows were asked for."""
    told = time.monotonic()

    def report(rows: int, expected: int) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS_A_LINE:
            told = time.monotonic()
            tell(f"{lens}: {rows:,} of {expected:,} rows asked for by their own vectors")

    return report


def _ids(audit: Audit, kind: Kind) -> str:
    ids = audit.found[kind].ids
    shown = ids[:SHOWN_IN_LINE]
    if kind is Kind.ALTERED:
        shown = tuple(f"{key} ({', '.join(audit.altered[key])})" for key in shown)
    return ", ".join([*shown, *(["…"] if len(ids) > SHOWN_IN_LINE else [])])


def _camel(words: str) -> str:
    first, *rest = words.split()
    return first + "".join(word.title() for word in rest)
