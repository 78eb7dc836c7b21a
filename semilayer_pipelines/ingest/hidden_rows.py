"""A source that hides its rows: that is not the same as a table that has none."""

from __future__ import annotations

from dataclasses import replace

from semilayer_pipelines.errors import SourceRefused
from semilayer_pipelines.ingest.open_lens import OpenLens

__all__ = ["refuse_hidden"]


def refuse_hidden(opened: OpenLens) -> None:
    """Raise `SourceRefused` when the table shows no row at all, and may hide its rows from us.

    To be asked where something would be concluded from rows that were not seen.
    """
    hidden = opened.bridge.hides_rows(opened.selection.table)
    whole = replace(opened.selection, where=None)
    if hidden is not None and not opened.bridge.count(whole):
        raise SourceRefused(
            f"The source shows no row: {hidden.reason}",
            cure=f"{hidden.cure} It is tried again.",
            lens=opened.lens.name,
        )
