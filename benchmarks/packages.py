"""Rows of Debian's catalogue as a project: a table of packages, and the example's lens over it.

The committed sample is 1,500 rows of the 63,660 that the whole catalogue has, drawn at random.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.ingest.open_lens import open_lens
from semilayer_pipelines.ingest.texts import texts_of as row_texts
from semilayer_pipelines.mapping.mapped import TEXT
from tests.lab import Lab

__all__ = ["COLUMNS", "lab_of", "sample", "texts_of"]

COLUMNS = ("name", "summary", "description", "section", "installed_kb")
_SAMPLE = Path(__file__).parent / "data" / "packages.parquet"
_LENS: dict[str, Any] = {
    "table": "packages",
    "embedding": {"provider": "sentence-transformers"},
    "fields": {
        "name": {"type": "text"},
        "summary": {"type": "text", "searchable": {"weight": 2}},
        "description": {"type": "text", "searchable": True},
        "section": {"type": "text"},
        "installed_kb": {"type": "number"},
    },
}


def sample() -> pl.DataFrame:
    """Return the committed rows."""
    return pl.read_parquet(_SAMPLE)


def lab_of(folder: Path, rows: pl.DataFrame) -> Lab:
    """Return a fresh project in `folder` over a table with these rows."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "source.db")) as db, db:
        db.execute(
            "CREATE TABLE packages (name TEXT PRIMARY KEY, summary TEXT, description TEXT,"
            " section TEXT, installed_kb INTEGER)"
        )
        db.executemany(
            "INSERT INTO packages VALUES (?, ?, ?, ?, ?)", rows.select(COLUMNS).iter_rows()
        )
    return Lab.at(folder, **_LENS)


def texts_of(lab: Lab, rows: int, *, cut: bool = False) -> list[str]:
    """Return the first rows' texts, as the lens maps them, in the order of the keys.

    `cut` says whether long ones come as their chunks, which is what an ingest embeds.
    """
    with open_lens(lab.project, lab.lens) as parts:
        page = parts.bridge.read_page(parts.selection, Window(), rows)
        mapped = parts.mapping.apply(page.frame).frame
        texts = row_texts(parts, mapped).frame if cut else mapped
        return texts[TEXT].to_list()
