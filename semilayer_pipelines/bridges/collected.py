"""What was read of a table so far, and the rows that the database cannot read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.database import Computed, Query, Sql
from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.bridges.reader import Reader
from semilayer_pipelines.errors import SourceRefused

__all__ = ["Collected", "nothing"]

MANY_REFUSED = 100
"""More refused rows than this, and more than half, are no fault of single rows."""


@dataclass
class Collected:
    """The rows read so far, and the key texts of those that cannot be read, or are left out."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    malformed: dict[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()

    def weigh(self) -> int:
        """Return the bytes of the frames."""
        return sum(int(frame.estimated_size()) for frame in self.frames)

    def refuse(self, keys: Iterable[str], refusal: ValueRefused, *, source: str) -> None:
        """Set rows aside; raises `SourceRefused` when that is what becomes of most."""
        self.refused |= dict.fromkeys(keys, f"the source cannot read it: {refusal.said}")
        read = sum(frame.height for frame in self.frames)
        if len(self.refused) > MANY_REFUSED and len(self.refused) > read:
            raise SourceRefused(
                f"source {source!r} cannot read most of the rows; the first, "
                f"{next(iter(self.refused))}: {refusal.said}.",
                cure="Correct the view or the cast: so many rows are not at fault themselves.",
            )


def nothing(
    reader: Reader, selection: Selection, computed: tuple[Computed, ...] = ()
) -> pl.DataFrame:
    """Return no rows, with the columns of all."""
    tail = st.tail(reader.catalogue.rows(selection), (), [Sql("1 = 0")], None)
    columns = reader.catalogue.columns(selection)
    return reader.read(selection, Query(columns, (), selection.key, tail, None, computed)).frame
