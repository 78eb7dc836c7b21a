"""Names as they stand in the SQL of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["quoted", "search_path"]


def quoted(*parts: str | None) -> str:
    """Return a name in quotes; a schema before it, unless that is `None` or empty."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)


def search_path(schemas: Sequence[str]) -> str:
    """Return the statement that sets a search path for one transaction; empty for no schemas.

    It is no option of a connection: a pooler in between would refuse that.
    """
    return f"SET LOCAL search_path = {', '.join(map(quoted, schemas))}" if schemas else ""
