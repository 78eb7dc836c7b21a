"""How fast a walk goes and how long it will still take, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from semilayer_pipelines.counts import Counts

__all__ = ["Speed", "span"]


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
