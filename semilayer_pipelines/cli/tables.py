"""Tables as every command shows them."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table

__all__ = ["table_of"]


def table_of(*titles: str, numbers: Collection[str] = ()) -> Table:
    """Return an empty table; the columns of `numbers` are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        # Folded, where a terminal is narrow: a name that is cut cannot be copied.
        table.add_column(title, justify="right" if title in numbers else "left", overflow="fold")
    return table
