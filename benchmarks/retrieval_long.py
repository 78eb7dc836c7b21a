"""Whether a sentence from far inside of a long page finds the page, with the real model.

`python -m benchmarks.retrieval_long [FILE]`: over the committed pages, or those of a file that
`benchmarks.long_texts` made. Vectors are compared in memory: what is measured is where texts are
cut and what is embedded, not a store.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.long_texts import SAMPLE, documents, sentences
from benchmarks.result import Result, Wanted, measured
from semilayer_pipelines.chunking.split import AT, Splitter, splitter
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders import BuiltWith, open_embedder
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.mapping.plan import TEXT

__all__ = ["Found", "queries", "run"]

_TEXT = {"type": "text", "searchable": True}
_LENS = {"source": "main", "table": "pages", "fields": {"name": _TEXT, "body": _TEXT}}
# Pages hold rows of tables and lines of code too, which nobody searches for by their meaning.
_SENTENCE = re.compile(r"[A-Z][\w ,;:'’()-]+[.!?]")
_READ = 256  # tokens of a page that the model reads when nothing is cut
_FIRST = 10
_PART = 2_048


@dataclass(frozen=True)
class Found:
    """How often the page was among the first ten, and the mean of one over its rank."""

    recall: float
    reciprocal_rank: float


def run(file: Path = SAMPLE) -> list[Result]:
    """Measure with chunks, and without: what a lens finds that says `chunking: off`."""
    pages = documents(file)
    lens = LensConfig.model_validate(_LENS)
    embedder = open_embedder(lens.embedding, environ={})
    cut = splitter(lens, embedder, BuiltWith(None))
    assert cut is not None
    rows = pages.with_columns(pl.concat_str("name", "body", separator="\n").alias(TEXT))
    of, asked = queries(pages, cut)
    questions = _vectors(embedder, asked)
    whole = _found(questions, of, _vectors(embedder, rows[TEXT].to_list()), np.arange(pages.height))
    chunks = cut.split(rows)
    left_whole = rows.with_row_index(AT).select(AT, TEXT).join(chunks, on=AT, how="anti")
    pieces = pl.concat([chunks.select(AT, TEXT), left_whole])
    started = time.monotonic()
    vectors = _vectors(embedder, pieces[TEXT].to_list())
    print(f"{pieces.height} chunks of {pages.height} pages in {time.monotonic() - started:.0f} s")
    found = _found(questions, of, vectors, pieces[AT].to_numpy())
    name = f"{pages.height} long pages"
    return [
        Result(f"{name}, recall@10", "", measured([found.recall]), Wanted.AT_LEAST, 0.95),
        Result(f"{name}, MRR@10", "", measured([found.reciprocal_rank]), Wanted.AT_LEAST, 0.9),
        Result(f"{name}, not cut, recall@10", "", measured([whole.recall])),
        Result(f"{name}, not cut, MRR@10", "", measured([whole.reciprocal_rank])),
    ]


def queries(pages: pl.DataFrame, cut: Splitter) -> tuple[NDArray[np.int64], list[str]]:
    """Return a sentence of each page, from behind its 256th token, that no other page has.

    Shape (queries,): the page of each. A page that has no such sentence has no query.
    """
    counts = Counter(one for body in pages["body"] for one in set(sentences(body)))
    chooser = random.Random(1)
    of: list[int] = []
    asked: list[str] = []
    for at, body in enumerate(pages["body"]):
        all_of_them = sentences(body)
        read = np.cumsum(cut.limits.counter.count(all_of_them))
        far = [
            one for one, before in zip(all_of_them[1:], read[:-1], strict=True) if before > _READ
        ]
        own = [one for one in far if counts[one] == 1 and _SENTENCE.fullmatch(one)]
        if own:
            of.append(at)
            asked.append(chooser.choice(own))
    return np.array(of), asked


def _vectors(embedder: Embedder, texts: list[str]) -> NDArray[np.float32]:
    parts = [embedder.embed(texts[at : at + _PART]).vectors for at in range(0, len(texts), _PART)]
    vectors = np.concatenate(parts)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _found(
    questions: NDArray[np.float32],
    of: NDArray[np.int64],
    vectors: NDArray[np.float32],
    pages: NDArray[np.int64],
) -> Found:
    """Rank pages by their best vector; `pages` has the page of each vector, `of` the right one."""
    ranks = []
    for question, right in zip(questions, of, strict=True):
        best = np.full(int(pages.max()) + 1, -np.inf)
        np.maximum.at(best, pages, vectors @ question)
        ranks.append(1 + int((best > best[right]).sum()))
    places = np.array(ranks)
    near = places <= _FIRST
    return Found(float(near.mean()), float(np.where(near, 1 / places, 0).mean()))


if __name__ == "__main__":
    for result in run(Path(sys.argv[1]) if sys.argv[1:] else SAMPLE):
        print(f"{result.name}: {result.value:.3f}")
