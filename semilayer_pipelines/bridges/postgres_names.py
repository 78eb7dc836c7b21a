"""Names as they stand in the SQL of PostgreSQL, and what domains are made of there."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BASE_TYPES", "quoted", "search_path"]

BASE_TYPES = """base_types(domain, oid) AS (
  WITH RECURSIVE below(domain, oid) AS (
    SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT below.domain, t.typbasetype
    FROM below JOIN pg_catalog.pg_type t ON t.oid = below.oid AND t.typtype = 'd'
  )
  SELECT below.domain, below.oid
  FROM below JOIN pg_catalog.pg_type t ON t.oid = below.oid AND t.typtype <> 'd'
)"""
"""The type that a domain is made of, also where it is one over another domain: a table for WITH."""


def quoted(*parts: str | None) -> str:
    """Return a name in quotes; a schema before it, unless that is `None` or empty."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)


def search_path(schemas: Sequence[str]) -> str:
    """Return the statement that sets a search path for one transaction; empty for no schemas.

    It is no option of a connection: a pooler in between would refuse that.
    """
    return f"SET LOCAL search_path = {', '.join(map(quoted, schemas))}" if schemas else ""
