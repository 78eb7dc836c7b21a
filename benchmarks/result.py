"""One measured number, what it is held against, and whether it held.

A count is exact on every machine; a speed is not, so only a wrong count makes a run fail.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["Measured", "Result", "Wanted", "measured"]


class Wanted(Enum):
    """How a value compares with its target when it holds."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    EXACTLY = "="


@dataclass(frozen=True)
class Measured:
    """The median of some repetitions, and the smallest and largest of them."""

    median: float
    low: float
    high: float
    repetitions: int


@dataclass(frozen=True)
class Result:
    """A number in `unit`. `floor` is the raw loop's number from the same run, `None` without one.

    `target` is `None` for a number that is only shown.
    """

    name: str
    unit: str
    measured: Measured
    wanted: Wanted = Wanted.AT_LEAST
    target: float | None = None
    floor: float | None = None

    @property
    def value(self) -> float:
        """The number to quote."""
        return self.measured.median

    @property
    def ratio(self) -> float | None:
        """Value over floor."""
        return None if self.floor is None else self.value / self.floor

    @property
    def held(self) -> bool | None:
        """Say whether the target was met; `None` when there is none."""
        if self.target is None:
            return None
        match self.wanted:
            case Wanted.AT_LEAST:
                return self.value >= self.target
            case Wanted.AT_MOST:
                return self.value <= self.target
            case Wanted.EXACTLY:
                # Every repetition, not only the one in the middle.
                return self.measured.low == self.measured.high == self.target

    @property
    def wrong(self) -> bool:
        """Say whether a count that must be exact was not."""
        return self.wanted is Wanted.EXACTLY and self.held is False

    def as_dict(self) -> dict[str, object]:
        """Return what `latest.json` keeps."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "floor": self.floor,
            "ratio": self.ratio,
            "target": self.target,
            "held": self.held,
            "min": self.measured.low,
            "max": self.measured.high,
            "repetitions": self.measured.repetitions,
        }


def measured(values: Sequence[float]) -> Measured:
    """Sum up repetitions; there must be one at least."""
    return Measured(statistics.median(values), min(values), max(values), len(values))
