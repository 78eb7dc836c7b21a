"""Somebody who writes to an index and knows neither the lock nor the rules."""

from __future__ import annotations

from collections.abc import Callable

import lancedb
import pyarrow as pa

from tests.lab import ENV, Lab


def put(lab: Lab, *keys: str, **columns: Callable[[list[str]], pa.Array]) -> None:
    """Add copies of these objects, with some columns changed, as a stranger would: no lock."""
    table = lancedb.connect(lab.project.settings.home / "lance" / ENV).open_table(lab.index.name)
    among = ", ".join(f"'{key}'" for key in keys)
    copies = table.search().where(f"_key IN ({among})").limit(len(keys)).to_arrow()
    for name, made in columns.items():
        at = copies.schema.get_field_index(name)
        values = made(copies["_key"].to_pylist()).cast(copies.schema.field(at).type)
        copies = copies.set_column(at, copies.schema.field(at), values)
    table.add(copies)


def double(lab: Lab, *keys: str) -> None:
    """Put a second object of these keys into the index."""
    put(lab, *keys)


def shorten(lab: Lab) -> None:
    """Put a table whose vectors have two numbers in the place of the lens's."""
    store = lancedb.connect(lab.project.settings.home / "lance" / ENV)
    rows = store.open_table(lab.index.name).to_arrow()
    short = pa.array([[1.0, 0.0]] * rows.num_rows, pa.list_(pa.float32(), 2))
    at = rows.schema.get_field_index("_vector")
    field = pa.field("_vector", short.type, nullable=False)
    store.create_table(lab.index.name, rows.set_column(at, field, short), mode="overwrite")
