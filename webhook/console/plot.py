"""Small plots as the paths of an SVG: made here, so that a page is drawn without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["HEIGHT", "WIDTH", "Plot", "bars", "line"]

WIDTH, HEIGHT = 240, 40
"""Units of a plot's box; it is as wide on a page as there is room."""

_HEAD = 2  # room for the line's own width
_STUB = 4.0
_WIDEST = 8.0  # of one bar, so that few of them are bars and no wall


@dataclass(frozen=True)
class Plot:
    """A path, the highest value and the last one; `empty` when there is nothing to draw."""

    path: str
    highest: float
    last: float | None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.path


def bars(values: Sequence[float]) -> Plot:
    """Return one bar for each value; none for 0."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return Plot("", 0.0, None)
    step = min(WIDTH / len(values), _WIDEST)
    drawn = [
        f"M{at * step + step * 0.1:.1f} {HEIGHT}"
        f"v{-max(1.0, value / highest * (HEIGHT - _HEAD)):.1f}"
        f"h{step * 0.8:.1f}V{HEIGHT}z"
        for at, value in enumerate(values)
        if value > 0
    ]
    return Plot("".join(drawn), highest, values[-1])


def line(values: Sequence[float | None]) -> Plot:
    """Return a line through the values that are known."""
    known = [value for value in values if value is not None]
    highest = max(known, default=0.0)
    if not known or highest <= 0:
        return Plot("", 0.0, known[-1] if known else None)
    step, drawn, begun = WIDTH / max(1, len(values) - 1), "", False
    for at, value in enumerate(values):
        if value is None:
            begun = False
            continue
        height = HEIGHT - value / highest * (HEIGHT - _HEAD)
        drawn += f"{'L' if begun else 'M'}{at * step:.1f} {height:.1f}"
        if not begun:
            drawn += f"h{-_STUB:.1f}"  # a value that stands alone is seen, too
        begun = True
    return Plot(drawn, highest, known[-1])
