"""Whether a sentence from far inside of a long page finds the page, with the real model.

`python -m benchmarks.retrieval_long [FILE]`: over a third of the committed pages, or over all of a
file that `benchmarks.long_texts` made. Pages are indexed and searched as any lens is.
"""

from __future__ import annotations

import random
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.catalogue import workplace
from benchmarks.long_texts import documents, english, runs, sentences
from benchmarks.result import Result, Wanted, measured
from benchmarks.retrieval import Question
from semilayer_pipelines.chunking.count import Counter as Tokens
from semilayer_pipelines.chunking.count import counter_of
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.http.contract import SearchMode
from semilayer_pipelines.queries.search import search
from tests.lab import ENV, Lab

__all__ = ["Found", "found", "indexed", "questions", "run"]

_FIELDS = {
    "name": {"type": "text", "searchable": True},
    "body": {"type": "text", "searchable": True, "keyword": True},
}
_MODES = {
    "off": [SearchMode.SEMANTIC],
    "auto": [SearchMode.SEMANTIC, SearchMode.HYBRID],
    "128": [SearchMode.SEMANTIC, SearchMode.HYBRID],
}
"""By what `chunking` says: nothing is cut, or to what the model reads, or to 128 tokens."""

# Pages hold rows of tables and lines of code too, which nobody searches for by their meaning.
_SENTENCE = re.compile(r"[A-Z][\w ,;:'’()-]+[.!?]")
_LENGTHS = range(8, 41)  # words
_POINTS_ELSEWHERE = re.compile(
    r"\b(this|these|those|it|its|they|them|their|such|same|here|above|below|following|previous"
    r"|however|therefore|thus|otherwise|instead|also|then)\b",
    re.IGNORECASE,
)
_PAGES = 100  # of the committed ones: embedding the chunks of all takes an hour on two busy cores
_READ = 256  # tokens of a page that the model reads when nothing is cut
_AMONG = 10
_MIN_RECALL = 0.95
_MIN_MRR = 0.9


@dataclass(frozen=True)
class Found:
    """How often the right page was among the first ten, and the mean of one over its rank."""

    recall: float
    reciprocal_rank: float


def run(file: Path | None = None) -> list[Result]:
    pages = documents(file) if file else documents().sample(_PAGES, seed=5)
    reading = open_embedder(EmbeddingConfig(), environ={}).reading()
    assert reading is not None
    asked = questions(pages, counter_of(reading.tokenizer))
    results: list[Result] = []
    with workplace() as folder:
        for chunking, modes in _MODES.items():
            lab = indexed(folder / chunking, pages, chunking)
            for mode in modes:
                for kind, them in asked.items():
                    name = f"{pages.height} pages, {chunking}, {mode}: {kind}"
                    results += _results(name, found(lab, them, mode), wanted=chunking == "auto")
    return results


def questions(pages: pl.DataFrame, tokens: Tokens) -> dict[str, list[Question]]:
    """Return sentences of pages, from behind their 256th token, that no other page has.

    One a page is drawn of all, and one of those that need no other sentence to be understood.
    A page that has no such sentence has no question.
    """
    pages_with = Counter(run for body in pages["body"] for run in runs(body))
    choosers = {"any sentence": random.Random(1), "a sentence that stands alone": random.Random(1)}
    asked: dict[str, list[Question]] = {kind: [] for kind in choosers}
    for at, body in enumerate(pages["body"]):
        parts = sentences(body)
        read = np.cumsum(tokens.count(parts))
        far = [one for one, before in zip(parts[1:], read[:-1], strict=True) if before > _READ]
        own = [one for one in far if _is_sentence(one) and _is_own(one, pages_with)]
        alone = [one for one in own if not _POINTS_ELSEWHERE.search(one)]
        for (kind, chooser), some in zip(choosers.items(), (own, alone), strict=True):
            if some:
                asked[kind].append(Question(chooser.choice(some), str(at)))
    return asked


def _is_sentence(text: str) -> bool:
    """Say whether a text is an English sentence, and no row of a table or line of code."""
    return bool(_SENTENCE.fullmatch(text)) and len(text.split()) in _LENGTHS and english(text)


def _is_own(sentence: str, pages_with: Counter[tuple[str, ...]]) -> bool:
    """Say whether most of a sentence is on one page alone, so that one page is the right one."""
    said = runs(sentence)
    return sum(pages_with[run] == 1 for run in said) > len(said) / 2


def indexed(folder: Path, pages: pl.DataFrame, chunking: str) -> Lab:
    """Return a project of these pages, indexed with the default model; their keys are positions."""
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "source.db")) as db, db:
        db.execute("CREATE TABLE pages (id INTEGER PRIMARY KEY, name TEXT, body TEXT)")
        rows = pages.with_row_index("id").select("id", "name", "body")
        db.executemany("INSERT INTO pages VALUES (?, ?, ?)", rows.iter_rows())
    lab = Lab.opened(folder, {"SEMILAYER_ENV": ENV})
    lab.push(
        table="pages",
        fields=_FIELDS,
        chunking={"size": int(chunking)} if chunking.isdigit() else chunking,
        embedding={"provider": "sentence-transformers"},
    )
    lab.full()
    return lab


def found(lab: Lab, asked: Sequence[Question], mode: SearchMode) -> Found:
    """Search for each question, and see where its page is."""
    ranks = np.array([_rank(lab, each, mode) for each in asked])
    return Found(float(np.isfinite(ranks).mean()), float((1 / ranks).mean()))


def _rank(lab: Lab, question: Question, mode: SearchMode) -> float:
    hits = search(lab.project, lab.name, question.text, limit=_AMONG, mode=mode)
    ids = [str(hit.id) for hit in hits]
    return ids.index(question.row) + 1 if question.row in ids else np.inf


def _results(name: str, got: Found, *, wanted: bool) -> Iterator[Result]:
    for what, value, target in (
        ("recall@10", got.recall, _MIN_RECALL),
        ("MRR@10", got.reciprocal_rank, _MIN_MRR),
    ):
        least = target if wanted else None
        yield Result(f"{name}, {what}", "", measured([value]), Wanted.AT_LEAST, least)


if __name__ == "__main__":
    for result in run(Path(sys.argv[1]) if sys.argv[1:] else None):
        print(f"{result.name}: {result.value:.3f}")
