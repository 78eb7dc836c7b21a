"""What a page, a job or a shard did, as numbers that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

__all__ = ["Counts"]


@dataclass(frozen=True)
class Counts:
    """Rows by what happened to them; every run reports all of them (design, section 5).

    `untracked` and `ahead` are rows that incremental ingest cannot place and leaves to smart sync:
    without a tracked value, or with a time in the future. `unmoved` are those that smart sync found
    new or changed though their tracked value had not moved: incremental ingest never sees them.
    `tokens` are what the model read of the rows that were embedded; 0 where it does not count them.
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
    ahead: int = 0
    unmoved: int = 0
    tokens: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_dict(self) -> dict[str, int]:
        """Return the numbers by name."""
        return asdict(self)

    @classmethod
    def of(cls, numbers: Mapping[str, int]) -> Counts:
        """Read back what `as_dict` gave; unknown names are ignored, missing ones are 0."""
        return cls(**{f.name: int(numbers.get(f.name, 0)) for f in fields(cls)})
