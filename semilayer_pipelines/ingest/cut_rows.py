"""Rows whose hashes are theirs, and whose long texts are cut in another way than they would be now.

So it is after a change of `chunking`, and in an index of a version that cut nothing. A whole walk
writes them again, and their generation then notes what cut all of its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.ingest.decision import Indexed
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.texts import cut_otherwise
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.stores.chunks.protocol import RowIndex

__all__ = ["CutRows"]


@dataclass(frozen=True)
class CutRows:
    """The rows of a generation that was not cut by what cuts the texts of its lens now."""

    opened: OpenLens
    index: RowIndex

    @classmethod
    def of(cls, opened: OpenLens, generation: Generation, index: RowIndex | None) -> CutRows | None:
        """Return `None` where all rows are cut as they would be now, or it is not known how."""
        if not opened.knows_cuts or index is None or generation.split_by == opened.split_by:
            return None
        return cls(opened, index)

    def marked(self, states: pl.Series, rows: pl.DataFrame) -> pl.Series:
        """Return the states (Series of `Indexed`) of mapped rows with these as `OTHER`."""
        same = states == Indexed.SAME
        if not same.any():
            return states
        other = cut_otherwise(self.opened, rows.filter(same), self.index)
        return states.clone().scatter(same.arg_true().filter(other), Indexed.OTHER)
