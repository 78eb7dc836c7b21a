"""What a page, a job or a shard did, as numbers that add up; and how fast that is, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Self

__all__ = ["Counts", "Speed", "span", "utc_text"]

_NAMES_BEFORE_0_2 = {"ahead": "in_the_future", "unmoved": "missed_updates"}
"""A registry may still hold them."""


@dataclass(frozen=True)
class Counts:
    """Rows by what happened to them; every run reports all of them.

    `untracked` and `in_the_future` are rows that incremental ingest cannot place and leaves to
    smart sync: without a tracked value, or with a time in the future. `missed_updates` are rows
    that smart sync found new or changed though their tracked value had not moved: incremental
    ingest never sees them. `not_found` are rows that a caller named and that were not there; they
    are looked for again before they count as deleted. `nulled` counts values, not rows: they did
    not fit a field that is only metadata, and were left empty. `textless` are rows without a text,
    which are left out of the search: nothing is wrong with them, and there is nothing to embed.
    `tokens` counts what the model read of the embedded rows; 0 where it does not tell. `recovered`
    are rows that the store held and no search found, as after a crash of its server: they were
    written again with the vectors that they had. `proven` are rows that smart sync did not read,
    because the source proves that nobody has written to them since the last walk.
    """

    read: int = 0
    unchanged: int = 0
    embedded: int = 0
    reused: int = 0
    written: int = 0
    deleted: int = 0
    failed: int = 0
    truncated: int = 0
    untracked: int = 0
    in_the_future: int = 0
    missed_updates: int = 0
    not_found: int = 0
    nulled: int = 0
    textless: int = 0
    tokens: int = 0
    recovered: int = 0
    proven: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_dict(self) -> dict[str, int]:
        """Return the numbers by name."""
        return asdict(self)

    @classmethod
    def of(cls, numbers: Mapping[str, int]) -> Counts:
        """Read back what `as_dict` gave; unknown names are ignored, missing ones are 0."""
        known = {_NAMES_BEFORE_0_2.get(name, name): number for name, number in numbers.items()}
        return cls(**{f.name: int(known.get(f.name, 0)) for f in fields(cls)})


@dataclass(frozen=True)
class Speed:
    """Rows read and tokens embedded a second; `left` in seconds, `None` where nobody can say."""

    rows: float
    tokens: float
    left: float | None

    @classmethod
    def of(cls, done: Counts, seconds: float, *, rows_left: int | None) -> Self:
        """Conclude from what was done in some seconds."""
        rows = done.read / max(seconds, 1e-6)
        known = rows_left is not None and rows > 0
        left = max(0, rows_left or 0) / rows if known else None
        return cls(rows, done.tokens / max(seconds, 1e-6), left)

    def __str__(self) -> str:
        parts = [f"{self.rows:,.0f} rows/s"]
        if self.tokens:
            parts.append(f"{self.tokens:,.0f} tokens/s")
        if self.left is not None:
            parts.append(f"{span(self.left)} left")
        return ", ".join(parts)


def span(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def utc_text(moment: datetime) -> str:
    """Return a point in time as every JSON document of ours has it: `2024-01-02T10:00:00Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
