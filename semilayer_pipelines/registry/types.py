"""Column types that give back what was put in, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer
from sqlalchemy.types import TypeDecorator

from semilayer_pipelines.counts import Counts

__all__ = ["BIG_ID", "CountsJson", "UtcDateTime"]

# SQLite numbers rows by itself only in a column declared exactly INTEGER.
BIG_ID = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, to the microsecond, always aware and in UTC; refuses naive datetimes."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware datetime into UTC; raise `ValueError` for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the registry needs a datetime with a time zone, got {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the datetime its zone: SQLite keeps none, PostgreSQL answers in the session's."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class CountsJson(TypeDecorator[Counts]):
    """`Counts` as a JSON object."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Counts | None, dialect: Dialect) -> Any:
        """Turn counts into their numbers by name."""
        return None if value is None else value.as_dict()

    def process_result_value(self, value: Any, dialect: Dialect) -> Counts:
        """Turn numbers by name into counts."""
        return Counts.of(value or {})
