"""An audit as a person or a program reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from semilayer_pipelines.queries.findings import Audit, Found, Kind

__all__ = ["audit_json", "found_lines", "reporting"]

SHOWN_IN_LINE = 5
ROWS_A_LINE = 500_000


def found_lines(audit: Audit, words: Mapping[Kind, str]) -> list[str]:
    """Return a line for each kind that was found, under its word, with the first ids."""
    told = {word: audit.found[kind] for kind, word in words.items() if audit.found[kind].count}
    width = max(map(len, told), default=0)
    return [
        f"  {word:<{width}}  {one.count:>9,}  {_ids(one)}".rstrip() for word, one in told.items()
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


def _ids(found: Found) -> str:
    more = ["…"] if len(found.ids) > SHOWN_IN_LINE else []
    return ", ".join([*found.ids[:SHOWN_IN_LINE], *more])


def _camel(words: str) -> str:
    first, *rest = words.split()
    return first + "".join(word.title() for word in rest)
