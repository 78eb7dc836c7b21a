"""ISO 8601 texts to points in time in UTC.

Covers what databases write: a date, a time after a space or a `T`, with or without seconds, their
fraction and a zone; a time without a zone is UTC. Never guesses day-month order or words.
"""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.mapping.typed import MOMENT

__all__ = ["NO_DATE", "parse_moments"]

NO_DATE = r"(?i)^\s*(?:[-+]?infinity|\d{4,}-\d\d-\d\d(?:[ T].*)?)\s*$"
"""The ways to write a time that no calendar has: zero dates, infinity, BC, the year 10000."""

_TIMES = ("", " %H:%M:%S", "T%H:%M:%S", " %H:%M:%S%.f", "T%H:%M:%S%.f", " %H:%M", "T%H:%M")
# `Z` has forms of its own beside those with any zone: as a plain letter it is read three times as
# fast, and all forms without a zone are UTC.
_FORMATS = tuple(
    f"%Y-%m-%d{time}{zone}" for time in _TIMES for zone in ("", "Z", "%#z") if time or not zone
)


def parse_moments(texts: pl.Expr) -> pl.Expr:
    """Return the points in time (Datetime[us, UTC]) of texts; null where a text is none."""
    return texts.map_batches(_parsed, return_dtype=MOMENT, is_elementwise=True)


def _parsed(texts: pl.Series) -> pl.Series:
    # A column nearly always has one form, that of its first value: then one pass does.
    first = texts.drop_nulls().head(1)
    likely = next((form for form in _FORMATS if _read(first, form).count()), _FORMATS[0])
    moments = _read(texts, likely)
    if moments.null_count() == texts.null_count():
        return moments
    stripped = texts.str.strip_chars()
    for form in _FORMATS:
        pending = moments.is_null() & stripped.is_not_null()
        if not pending.any():
            break
        moments = moments.zip_with(~pending, _read(stripped, form))
    return moments


def _read(texts: pl.Series, form: str) -> pl.Series:
    return texts.str.to_datetime(form, time_unit="us", strict=False).cast(MOMENT)
