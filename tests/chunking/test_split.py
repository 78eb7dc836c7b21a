"""What is cut, where, and that no chunk is longer than the model reads."""

from __future__ import annotations

from typing import Any

import polars as pl

from semilayer_pipelines.chunking.split import AT, END, FIELD, ORDINAL, START, Splitter, splitter
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders.open import open_embedder
from semilayer_pipelines.mapping.plan import TEXT


def lens(**changed: Any) -> LensConfig:
    text = {"type": "text", "searchable": True}
    return LensConfig.model_validate(
        {"source": "main", "table": "t", "fields": {"title": text, "body": text}} | changed
    )


def made(config: LensConfig) -> Splitter | None:
    return splitter(config, open_embedder(config.embedding, environ={}))


def rows(*texts: tuple[str, str]) -> pl.DataFrame:
    titles, bodies = zip(*texts, strict=True)
    return pl.DataFrame(
        {"title": titles, "body": bodies, TEXT: [f"{t}\n{b}" for t, b in texts]},
    )


def test_a_row_that_fits_is_left_whole_and_a_long_one_is_cut() -> None:
    cut = made(lens())
    assert cut is not None
    body = " ".join(f"Sentence number {n} is here." for n in range(200))

    chunks = cut.split(rows(("a", "short"), ("Title", body), ("b", "short too")))

    assert set(chunks[AT]) == {1}
    assert chunks[ORDINAL].to_list() == list(range(chunks.height))
    assert set(chunks[FIELD]) == {"body"}
    for start, end, text in chunks.select(START, END, TEXT).iter_rows():
        assert text == f"Title\n{body[start:end]}"


def test_off_cuts_nothing() -> None:
    assert made(lens(chunking="off")) is None
