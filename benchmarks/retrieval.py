"""What searches find in each mode, and what that costs: rows of Debian's catalogue, the real model.

Each question has a right row, or some. MRR@10 is the mean of 1 / the first one's rank among the
first ten, and 0 where none is among them. All modes are asked the same questions through the same
search. Of the questions that were written by hand, those are asked that nothing was chosen by.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.catalogue import workplace
from benchmarks.packages import sample
from benchmarks.questions import NEEDS, TELLING, Asked, halves
from benchmarks.result import Result, Wanted, measured
from benchmarks.static_model import distilled
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.http.contract import SearchMode
from semilayer_pipelines.queries.search import search
from tests.lab import ENV, Lab

__all__ = ["run"]

_DATA = Path(__file__).parent / "data"
_WHOLE_CATALOGUE = Path(__file__).parent / "out" / "packages.parquet"  # where it is there
_EXAMPLE = Path(__file__).parents[1] / "examples" / "debian" / "packages.parquet"
_QUESTIONS = 300
_AMONG = 10
_ROWS = 63_660  # of the whole catalogue
_LATENCIES = 60
_MIN_MRR = 0.97
_MOST_BELOW_THE_BETTER = -0.01
_MAX_RATIO = 2.0
_COLUMNS = ("name", "version", "summary", "description", "section")
_CODE = r"[^\s()<>\"',;]*[\w][-._/:][\w][^\s()<>\"',;]*[\w]"

_EVERYTHING: dict[str, Any] = {
    "name": {"type": "text", "searchable": True, "keyword": "exact"},
    "version": {"type": "text", "keyword": "exact"},
    "summary": {"type": "text", "searchable": {"weight": 2}, "keyword": True},
    "description": {"type": "text", "searchable": True, "keyword": True},
    "section": {"type": "text"},
}
_WITHOUT_SUMMARY = {
    name: field for name, field in _EVERYTHING.items() if name in ("name", "description", "section")
}


@dataclass(frozen=True)
class Question:
    """A text to search for, and the row that it is about."""

    text: str
    row: str

    @property
    def rows(self) -> frozenset[str]:
        return frozenset({self.row})


def run() -> list[Result]:
    rows = sample().join(pl.read_parquet(_DATA / "versions.parquet"), on="name")
    with workplace() as folder:
        whole = indexed(folder / "everything", rows, _EVERYTHING)
        results = [
            *_codes("names", whole, _names(rows)),
            *_codes("versions", whole, _versions(rows)),
            *_codes("codes in a description", whole, _mentioned(rows)),
        ]
        results += _asked(indexed(folder / "questions", _with_applications(rows), _EVERYTHING))
        partly = indexed(folder / "no-summary", rows, _WITHOUT_SUMMARY)
        results += _summaries(partly, rows)
        static = {"provider": "static", "model": str(distilled(folder / "model"))}
        looked_up = indexed(folder / "static", rows, _WITHOUT_SUMMARY, embedding=static)
        results += _static_summaries(looked_up, rows)
        everything = _with_applications(rows)
        asked = indexed(folder / "static-asked", everything, _EVERYTHING, embedding=static)
        results += _asked(asked, of=", static model")
        results += _costs(folder)
    return results


def indexed(folder: Path, rows: pl.DataFrame, fields: Mapping[str, Any], **lens: Any) -> Lab:
    """Return a project of these rows, indexed."""
    lab = _lab(folder, rows)
    lab.push(table="packages", fields=fields, **({"embedding": _REAL} | lens))
    lab.full()
    return lab


def mrr(lab: Lab, questions: Sequence[Question] | Sequence[Asked], mode: SearchMode) -> float:
    """Return the mean reciprocal rank of the first right row."""
    ranks = [
        next((1 / rank for rank, hit in enumerate(hits, 1) if hit.id in each.rows), 0.0)
        for each in questions
        for hits in [search(lab.project, lab.name, each.text, limit=_AMONG, mode=mode)]
    ]
    return sum(ranks) / len(ranks)


_REAL = {"provider": "sentence-transformers"}
_HASH = {"provider": "hash", "dimensions": 384}


def _codes(kind: str, lab: Lab, questions: Sequence[Question]) -> Iterable[Result]:
    for mode in SearchMode:
        target = _MIN_MRR if mode is SearchMode.HYBRID else None
        found = measured([mrr(lab, questions, mode)])
        yield Result(f"{kind}: MRR@10, {mode}", "", found, target=target)


def _static_summaries(lab: Lab, rows: pl.DataFrame) -> Iterable[Result]:
    for mode in (SearchMode.SEMANTIC, SearchMode.HYBRID):
        found = measured([mrr(lab, _asked_by_summary(rows), mode)])
        yield Result(f"summary, not indexed: MRR@10, {mode}, static model", "", found)


def _asked_by_summary(rows: pl.DataFrame) -> list[Question]:
    alone = rows.filter(pl.col("summary").is_unique()).sample(_QUESTIONS, seed=4)
    return [Question(*row) for row in alone.select("summary", "name").iter_rows()]


def _summaries(lab: Lab, rows: pl.DataFrame) -> Iterable[Result]:
    questions = _asked_by_summary(rows)
    found = {mode: mrr(lab, questions, mode) for mode in SearchMode}
    for mode, value in found.items():
        yield Result(f"summary, not indexed: MRR@10, {mode}", "", measured([value]))
    better = max(found[SearchMode.SEMANTIC], found[SearchMode.KEYWORD])
    yield Result(
        "summary, not indexed: hybrid less the better half",
        "",
        measured([found[SearchMode.HYBRID] - better]),
        target=_MOST_BELOW_THE_BETTER,
    )


def _asked(lab: Lab, of: str = "") -> Iterable[Result]:
    for kind, asked in (("a need", NEEDS), ("a telling word", TELLING)):
        yield from _compared(f"questions with {kind}", lab, halves(asked)[1], of)
    both = [*halves(NEEDS)[1], *halves(TELLING)[1]]
    yield from _compared("questions of both kinds", lab, both, of)


def _compared(kind: str, lab: Lab, asked: Sequence[Asked], of: str) -> Iterable[Result]:
    found = {mode: mrr(lab, asked, mode) for mode in SearchMode}
    for mode, value in found.items():
        yield Result(f"{kind} ({len(asked)}): MRR@10, {mode}{of}", "", measured([value]))
    yield Result(
        f"{kind}: hybrid less semantic{of}",
        "",
        measured([found[SearchMode.HYBRID] - found[SearchMode.SEMANTIC]]),
        target=_MOST_BELOW_THE_BETTER,
    )


def _with_applications(rows: pl.DataFrame) -> pl.DataFrame:
    """Return these rows and those of the example, which has the programs that people ask for."""
    example = pl.read_parquet(_EXAMPLE).select(rows.columns)
    return pl.concat([rows, example]).unique("name", keep="first", maintain_order=True)


def _costs(folder: Path) -> Iterable[Result]:
    """Time searches and ingests at the size of the whole catalogue; the model is left out."""
    rows = _many()
    plain = {name: field | {"keyword": False} for name, field in _EVERYTHING.items()}
    labs = {False: _lab(folder / "plain", rows), True: _lab(folder / "worded", rows)}
    for keywords, lab in labs.items():
        fields = _EVERYTHING if keywords else plain
        lab.push(table="packages", embedding=_HASH, fields=fields)
    seconds = interleaved(
        {
            str(keywords): lambda lab=lab: timed(lab.full)  # type: ignore[misc]
            for keywords, lab in labs.items()
        },
        repetitions=2,
    )
    for which, told in (("without", seconds["False"]), ("with", seconds["True"])):
        speeds = measured([rows.height / each for each in told])
        yield Result(f"{rows.height:,} rows: full ingest {which} keywords", "rows/s", speeds)
    yield from _latencies(labs[True], rows)


def _latencies(lab: Lab, rows: pl.DataFrame) -> Iterable[Result]:
    texts = iter(rows["summary"].sample(4 * _LATENCIES * len(SearchMode), seed=5).to_list())

    def ask(mode: SearchMode) -> Callable[[], float]:
        return lambda: timed(lambda: search(lab.project, lab.name, next(texts), mode=mode))

    seconds = interleaved(
        {mode.value: ask(mode) for mode in SearchMode}, repetitions=_LATENCIES, warm_up=10
    )
    for mode, told in seconds.items():
        milliseconds = measured([1_000 * each for each in told])
        yield Result(f"{rows.height:,} rows: search, {mode}", "ms", milliseconds)
    ratio = measured(seconds["hybrid"]).median / measured(seconds["semantic"]).median
    yield Result(
        f"{rows.height:,} rows: p50, hybrid over semantic",
        "",
        measured([ratio]),
        Wanted.AT_MOST,
        _MAX_RATIO,
    )


def _names(rows: pl.DataFrame) -> list[Question]:
    return [Question(name, name) for name in rows["name"].sample(_QUESTIONS, seed=1)]


def _versions(rows: pl.DataFrame) -> list[Question]:
    alone = rows.filter(pl.col("version").is_unique()).sample(_QUESTIONS, seed=2)
    return [Question(*row) for row in alone.select("version", "name").iter_rows()]


def _mentioned(rows: pl.DataFrame) -> list[Question]:
    """Ask for file names, addresses and the like that stand in one description alone."""
    codes = pl.col("description").str.extract_all(_CODE).list.unique(maintain_order=True)
    found = rows.select("name", codes.alias("code")).explode("code").drop_nulls()
    found = found.filter(pl.col("code").str.contains(r"\d|_|/"))
    alone = found.filter(pl.col("code").str.to_lowercase().is_unique()).sample(_QUESTIONS, seed=3)
    return [Question(*row) for row in alone.select("code", "name").iter_rows()]


def _many() -> pl.DataFrame:
    """Return as many rows as the whole catalogue has; the sample's, repeated, where it is away."""
    if _WHOLE_CATALOGUE.exists():
        return pl.read_parquet(_WHOLE_CATALOGUE).unique("name", maintain_order=True)
    rows = sample().join(pl.read_parquet(_DATA / "versions.parquet"), on="name")
    copies = pl.concat([rows] * -(-_ROWS // rows.height)).head(_ROWS).with_row_index("at")
    return copies.with_columns(pl.format("{}-{}", "name", "at").alias("name"))


def _lab(folder: Path, rows: pl.DataFrame) -> Lab:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "source.db")) as db, db:
        db.execute(
            "CREATE TABLE packages (name TEXT PRIMARY KEY, version TEXT, summary TEXT,"
            " description TEXT, section TEXT)"
        )
        db.executemany(
            "INSERT INTO packages VALUES (?, ?, ?, ?, ?)", rows.select(_COLUMNS).iter_rows()
        )
    return Lab.opened(folder, {"SEMILAYER_ENV": ENV})
