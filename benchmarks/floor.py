"""The floor: the plainest loop that keeps a LanceDB table in step with a SQLite table.

No registry, no lock, no failed rows, no check of anything: what is left is the work that nobody
gets around. It must never learn tricks; the engine is measured against it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("LANCEDB_LOG", "error")

import lancedb
import polars as pl
from adbc_driver_sqlite import dbapi

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.hash import HashEmbedder

__all__ = ["Floor"]

_PAGE_ROWS = 10_000
_COLUMNS = ("id", "name", "description", "price", "category", "updated_at")


class Floor:
    """One table of one folder, filled from `items` of one SQLite file."""

    def __init__(self, database: Path, folder: Path) -> None:
        self._database = database
        self._lance = lancedb.connect(folder)
        self._embedder = HashEmbedder(EmbeddingConfig(provider="hash"))

    def full(self) -> int:
        """Load every row into a new table; return how many."""
        table = None
        for page in self._pages():
            objects = self._embedded(_hashed(page)).to_arrow()
            if table is None:
                table = self._lance.create_table("items", objects, mode="overwrite")
            else:
                table.add(objects)
        return 0 if table is None else int(table.count_rows())

    def sync(self) -> int:
        """Write what changed, delete what is gone; return how many rows were embedded."""
        table = self._lance.open_table("items")
        query = table.search().select(["id", "row_hash"]).limit(None)
        have = pl.DataFrame(pl.from_arrow(query.to_arrow()))
        changed: list[pl.DataFrame] = []
        seen: list[pl.Series] = []
        for page in self._pages():
            rows = _hashed(page)
            seen.append(rows["id"])
            changed.append(rows.join(have, on=["id", "row_hash"], how="anti"))
        writes = pl.concat(changed)
        if writes.height:
            objects = self._embedded(writes).to_arrow()
            merging = table.merge_insert("id").when_matched_update_all()
            merging.when_not_matched_insert_all().execute(objects)
        gone = have.join(pl.concat(seen).to_frame(), on="id", how="anti")["id"].to_list()
        if gone:
            table.delete(f"id IN ({', '.join(map(str, gone))})")
        return writes.height

    def _pages(self) -> Iterator[pl.DataFrame]:
        after = 0
        uri = f"file:{self._database}?mode=ro"
        with dbapi.connect(uri, autocommit=True) as db, db.cursor() as cursor:
            while True:
                cursor.execute(
                    f"SELECT {', '.join(_COLUMNS)} FROM items WHERE id > ? ORDER BY id LIMIT ?",
                    (after, _PAGE_ROWS),
                )
                page = pl.DataFrame(pl.from_arrow(cursor.fetch_arrow_table()))
                if not page.height:
                    return
                yield page
                after = int(page["id"][-1])

    def _embedded(self, rows: pl.DataFrame) -> pl.DataFrame:
        texts = pl.concat_str("name", "description", separator="\n")
        vectors = self._embedder.embed(rows.select(texts).to_series().to_list()).vectors
        dtype = pl.Array(pl.Float32, vectors.shape[1])
        return rows.with_columns(pl.Series("vector", vectors, dtype=dtype))


def _hashed(page: pl.DataFrame) -> pl.DataFrame:
    row = pl.concat_str(*_COLUMNS, separator="|", ignore_nulls=True)
    return page.with_columns(row.hash(1).alias("row_hash"))
