"""A lens whose long texts are cut, and an index of it held against its source, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.ingest.open_lens import open_lens
from semilayer_pipelines.ingest.texts import texts_of
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.findings import Depth
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import KEY, TEXT_HASH, VECTOR
from tests.lab import Lab

__all__ = [
    "CHUNKING",
    "LONG",
    "ROWS",
    "change",
    "chunked",
    "everything_changed",
    "finds_whole_rows",
    "row_index",
    "wanted_texts",
    "wrong",
]

ROWS = 30

CHUNKING = {"size": 32}
"""About a hundred characters: a description of `tests.workload` makes three chunks or more."""

LONG = " ".join(f"sentence {n} of many, and it goes on." for n in range(12))


def chunked(
    folder: Path,
    rows: int,
    *,
    short: int = 3,
    environ: Mapping[str, str] | None = None,
    **lens: object,
) -> Lab:
    """Make a lens of which every row but each `short`-th has a text that is cut."""
    told: dict[str, object] = {"chunking": CHUNKING}
    lab = Lab.at(folder, rows=rows, environ=environ, **(told | lens))
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'short', description = id WHERE id % ? = 0", (short,))
    return lab


def change(lab: Lab, what: str, *ids: int) -> None:
    at = "updated_at = '2025-05-05 00:00:00'"
    with lab.source() as db:
        db.execute(f"UPDATE items SET {what}, {at} WHERE id IN {(*ids, -1)}")


def everything_changed(lab: Lab) -> None:
    """Let long rows be edited, come to fit, get too long, and go."""
    change(lab, f"description = '{LONG}'", *range(1, ROWS, 4))
    change(lab, "description = 'fits', name = 'n'", *range(2, ROWS, 4))
    with lab.project.registry.begin() as db:
        named = [(str(n), Action.UPSERT) for n in range(1, ROWS + 1)]
        changes.append(db, lab.lens.id, named, lab.project.clock())


def finds_whole_rows(lab: Lab, text: str) -> None:
    """Search, and check that no row is lacking and each chunk is one of the row beside it."""
    hits = search(lab.project, "items", text, limit=ROWS)
    assert len(hits) == ROWS
    for hit in hits:
        if hit.chunk is not None:
            body = str(hit.fields[hit.chunk.field])
            assert body[hit.chunk.start : hit.chunk.end] == hit.chunk.text


def row_index(lab: Lab) -> RowIndex:
    """Return the index in use, as that of rows which may be cut."""
    return lab.project.store(lab.lens.env).open(lab.index.name)


def wanted_texts(lab: Lab) -> pl.DataFrame:
    """Return KEY, TEXT_HASH, TEXT of every text that should be embedded."""
    with open_lens(lab.project, lab.lens) as parts:
        page = parts.bridge.read_page(parts.selection, Window(), 10_000)
        mapped = parts.mapping.apply(page.frame).frame
        return texts_of(parts, mapped).frame.select(KEY, TEXT_HASH, TEXT)


def wrong(lab: Lab, *, closely: bool = True) -> list[str]:
    """Say in what the index in use is not what its source says; nothing when all is well."""
    index, want = row_index(lab), wanted_texts(lab)
    keys = want[KEY].unique().to_list()
    held = index.held(keys)
    found = [f"{index.count()} rows for {len(keys)}"] if index.count() != len(keys) else []
    many = want.group_by(KEY).agg(pl.len()).filter(pl.col("len") > 1)
    chunks = want.join(many, on=KEY, how="semi").height
    if index.vectors() != len(keys) + chunks:
        found.append(f"{index.vectors()} vectors for {len(keys)} rows and {chunks} chunks")
    both = want.join(held.unique([KEY, TEXT_HASH]), on=[KEY, TEXT_HASH], how="left")
    lacking = both.filter(pl.col(VECTOR).is_null())
    found += [f"{row[KEY]} lacks {row[TEXT]!r}" for row in lacking.head(3).iter_rows(named=True)]
    there = both.filter(pl.col(VECTOR).is_not_null())
    with open_lens(lab.project, lab.lens) as parts:
        made = parts.embedder.embed(there[TEXT].to_list()).vectors
    if there.height and np.abs(there[VECTOR].to_numpy() - made).max() > 1e-5:
        found.append("vectors of other texts")
    return found + (_audited(lab) if closely else [])


def _audited(lab: Lab) -> list[str]:
    told = audit(lab.project, lab.lens, depth=Depth(search=True, deep=True))
    kinds = [f"{kind.value}: {one.ids}" for kind, one in told.found.items() if one.count]
    return [] if told.in_line else [*kinds, *told.problems]
