"""The real model on this machine's processor: ingest beside the model's own `encode`.

Texts are rows of Debian's catalogue, as the example's lens maps them. What is compared is the
whole job (reading, mapping, comparing, writing, publishing) with nothing but the model, which gets
the very same texts sorted by length.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.config.models import EmbeddingConfig
from semilayer_pipelines.embedders.load_model import load_model
from semilayer_pipelines.embedders.model_source import find_model
from semilayer_pipelines.ingest.parts import open_parts
from semilayer_pipelines.mapping.compile import TEXT
from tests.lab import Lab

__all__ = ["run"]

_ROWS = 300
_REPETITIONS = 5
_TARGET = 0.95
_SAMPLE = Path(__file__).resolve().parents[1] / "examples" / "debian" / "packages.parquet"
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


def run() -> list[Result]:
    with workplace() as folder:
        texts = _texts(_lab(folder / "texts"))
        config = EmbeddingConfig()
        model = load_model(find_model(config.model, config.revision))
        embedded: list[float] = []

        def ingest() -> float:
            lab = _lab(folder / "engine")
            return timed(lambda: embedded.append(lab.full().counts.embedded))

        def encode() -> float:
            return timed(lambda: model.encode(texts, show_progress_bar=False))

        seconds = interleaved({"ingest": ingest, "encode": encode}, repetitions=_REPETITIONS)
    pairs = zip(seconds["ingest"], seconds["encode"], strict=True)
    alone = measured([_ROWS / s for s in seconds["encode"]]).median
    speed = measured([_ROWS / s for s in seconds["ingest"]])
    return [
        Result("real model: ingest", "rows/s", speed, floor=alone),
        Result(
            "real model: ingest over `encode` alone",
            "",
            measured([encoding / ingesting for ingesting, encoding in pairs]),
            target=_TARGET,
        ),
        Result("real model: rows embedded", "rows", measured(embedded), Wanted.EXACTLY, _ROWS),
    ]


def _lab(folder: Path) -> Lab:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    columns = ["name", "summary", "description", "section", "installed_kb"]
    rows = pl.read_parquet(_SAMPLE, columns=columns).sample(_ROWS, seed=1).select(columns)
    with closing(sqlite3.connect(folder / "source.db")) as db, db:
        db.execute(
            "CREATE TABLE packages (name TEXT PRIMARY KEY, summary TEXT, description TEXT,"
            " section TEXT, installed_kb INTEGER)"
        )
        db.executemany("INSERT INTO packages VALUES (?, ?, ?, ?, ?)", rows.iter_rows())
    return Lab.at(folder, **_LENS)


def _texts(lab: Lab) -> list[str]:
    """Return the distinct texts of the lens, longest first, as the engine would embed them."""
    with open_parts(lab.project, lab.lens) as parts:
        page = parts.bridge.read_page(parts.selection, Window(), _ROWS)
        texts = parts.mapping.apply(page.frame).frame[TEXT]
    return sorted(dict.fromkeys(texts.to_list()), key=len, reverse=True)
