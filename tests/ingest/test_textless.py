"""Rows without a text: never embedded, not to be found, counted, and no fault of anybody's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import EmbeddingRejected, GuardStopped
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.checks import Check, check_lens
from semilayer_pipelines.queries.dry_run import dry_run
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.queries.state import read_lens
from semilayer_pipelines.registry import failed_rows, jobs
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.ingest.ways import by_incremental, by_rebuild, by_records, by_sync
from tests.lab import ENV, Lab

ROWS = 300
EMPTY = [id for id in range(1, ROWS + 1) if id % 10 == 0]
STRIP_HTML = {"type": "replace", "pattern": "<[^>]*>", "replacement": ""}
FIELDS = {
    "name": {"type": "text", "searchable": True, "transform": STRIP_HTML},
    "description": {"type": "text", "searchable": True, "transform": STRIP_HTML},
}
BLANKS = ("", "  ", "<br>", None, "<p>\u00a0</p>")


class Strict:
    """An embedder that refuses the empty text, as hosted endpoints do, and keeps what it got."""

    def __init__(self, lab: Lab) -> None:
        self._inner = lab.project.embedder(lab.lens.config.embedding)
        self.fingerprint = self._inner.fingerprint
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Embedded:
        if any(not text.strip() for text in texts):
            raise EmbeddingRejected("HTTP 400: input is invalid")
        self.texts += texts
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        return self._inner.reading()


@pytest.fixture(params=["lancedb", "weaviate"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A lens of 300 rows of which every tenth says nothing, and it is not indexed yet."""
    told = {} if request.param == "lancedb" else request.getfixturevalue("environ")
    made = Lab.at(tmp_path, rows=ROWS, environ=told, fields=FIELDS)
    empty(made, EMPTY)
    yield made
    store = made.project.store(ENV)
    for name in store.names():
        store.drop(name)


@pytest.fixture
def strict(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Strict:
    embedder = Strict(lab)
    monkeypatch.setattr(type(lab.project), "embedder", lambda self, config, built=None: embedder)
    return embedder


over_lance = pytest.mark.parametrize("lab", ["lancedb"], indirect=True)


def empty(lab: Lab, ids: Sequence[int]) -> None:
    with lab.source() as db:
        db.executemany(
            "UPDATE items SET name = ?, description = NULL, updated_at = '2026-06-01 00:00:00' "
            "WHERE id = ?",
            [(BLANKS[n % len(BLANKS)], id) for n, id in enumerate(ids)],
        )


def fill(lab: Lab, ids: Sequence[int]) -> None:
    with lab.source() as db:
        db.executemany(
            "UPDATE items SET name = 'back', updated_at = '2026-07-01 00:00:00' WHERE id = ?",
            [(id,) for id in ids],
        )


def test_rows_without_a_text_are_left_out_and_counted_and_verify_knows_them(
    lab: Lab, strict: Strict
) -> None:
    done = lab.full().counts

    assert (done.read, done.written, done.textless, done.failed) == (ROWS, 270, 30, 0)
    assert lab.index.count() == 270
    found = audit(lab.project, lab.lens)
    assert found.in_line
    assert found.found[Kind.TEXTLESS].count == 30
    assert found.found[Kind.TEXTLESS].ids[:2] == ("10", "20")
    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0
    assert read_lens(lab.project, "items").textless == 30
    [verdict] = check_lens(lab.project, lab.lens, frozenset({Check.ROWS}), seed=1).values()
    assert verdict.passed, verdict.told


def test_an_unchanged_sync_embeds_and_writes_nothing_of_them(lab: Lab, strict: Strict) -> None:
    lab.full()
    strict.texts.clear()

    again = lab.sync().counts

    assert (again.written, again.deleted, again.embedded) == (0, 0, 0)
    assert (again.unchanged, again.textless) == (270, 30)
    assert strict.texts == []
    assert lab.full().counts.embedded == 0  # a rebuild takes the others over, and sends none


@pytest.mark.parametrize("bring_in", [by_records, by_incremental, by_sync, by_rebuild])
def test_a_row_leaves_as_its_text_becomes_empty_and_is_back_with_it(
    lab: Lab, strict: Strict, bring_in: Callable[[Lab, Sequence[int]], None]
) -> None:
    lab.full()
    emptied = [1, 2, 3, 4, 5]

    empty(lab, emptied)
    bring_in(lab, emptied)

    assert lab.index.fetch([str(id) for id in emptied]).height == 0
    assert lab.index.count() == 265
    assert audit(lab.project, lab.lens).in_line
    assert not {hit.id for hit in search(lab.project, "items", "x", limit=ROWS)} & {*"12345"}

    fill(lab, emptied)
    bring_in(lab, emptied)
    assert lab.index.count() == 270
    assert audit(lab.project, lab.lens).in_line


@over_lance
def test_a_row_that_was_set_aside_is_no_failed_row_once_its_text_is_empty(lab: Lab) -> None:
    fields = {**FIELDS, "price": {"type": "number", "from": "category", "nullAs": 1}}
    with lab.source() as db:
        db.execute("UPDATE items SET category = NULL WHERE id <> 7")
        db.execute("UPDATE items SET category = 'no number' WHERE id = 7")
    lab.push(fields=fields)
    assert lab.full().counts.failed == 1

    with lab.source() as db:
        db.execute("UPDATE items SET category = NULL WHERE id = 7")
    empty(lab, [7])
    lab.sync()

    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0


@over_lance
def test_a_sync_asks_before_it_takes_out_a_table_whose_texts_all_became_empty(lab: Lab) -> None:
    lab.full()
    empty(lab, range(1, ROWS + 1))
    assert dry_run(lab.project, ENV, "items").guarded

    with pytest.raises(GuardStopped, match="the row is there, without a text") as stopped:
        lab.sync()
    assert "--confirm-deletes" in stopped.value.cure
    assert lab.index.count() == 270

    done = lab.sync(confirmed=True).counts
    assert (done.deleted, lab.index.count()) == (270, 0)
    assert audit(lab.project, lab.lens).in_line


@over_lance
def test_an_incremental_job_takes_out_no_more_than_the_guard_allows_however_often_it_is_tried(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given pages that are small, so that some of them pass
    monkeypatch.setattr("semilayer_pipelines.ingest.page_size.FIRST_PAGE_ROWS", 40)
    monkeypatch.setattr("semilayer_pipelines.ingest.page_size.MAX_PAGE_ROWS", 40)
    monkeypatch.setattr("semilayer_pipelines.ingest.page_size.MIN_PAGE_ROWS", 40)
    lab.full()
    empty(lab, range(1, ROWS + 1))
    job = lab.request(Mode.INCREMENTAL)

    for _ in range(4):
        with pytest.raises(GuardStopped, match="no text, cannot be mapped or are left out"):
            lab.run(job)
        with lab.project.registry.begin() as db:
            jobs.hasten(db, job.id, lab.project.clock())

    assert lab.index.count() >= 270 - 100
    lab.sync(confirmed=True)
    assert lab.run(job).counts.deleted == 0


def test_an_incremental_job_that_the_guard_stopped_ends_once_a_person_has_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a job that has taken out some 200 of 1,000 rows when the guard stops it
    monkeypatch.setattr("semilayer_pipelines.ingest.page_size.FIRST_PAGE_ROWS", 200)
    monkeypatch.setattr("semilayer_pipelines.ingest.page_size.MAX_PAGE_ROWS", 200)
    lab = Lab.at(tmp_path, rows=1000, fields=FIELDS)
    lab.full()
    empty(lab, range(1, 601))
    job = lab.request(Mode.INCREMENTAL)
    with pytest.raises(GuardStopped, match=r"or more of 1,000 indexed rows \(3.*allows 300\."):
        lab.run(job)
    left = lab.index.count()
    assert 700 <= left < 850

    # when a person confirms, and so few rows are left that 200 would be too many of them
    assert lab.sync(confirmed=True).counts.deleted == left - 400

    # then the job has nothing more to take out, and the rest is brought in
    with lab.project.registry.begin() as db:
        jobs.hasten(db, job.id, lab.project.clock())
    assert lab.run(job).counts.deleted == 0
    assert read_lens(lab.project, "items", env=ENV).lens.status is LensStatus.READY


@over_lance
def test_a_rebuild_of_a_table_whose_texts_all_became_empty_is_not_published_unasked(
    lab: Lab,
) -> None:
    lab.full()
    empty(lab, range(1, ROWS + 1))

    with pytest.raises(GuardStopped, match="300 rows have no text"):
        lab.full()

    assert lab.index.count() == 270


@over_lance
def test_a_table_without_any_text_is_indexed_and_in_sync(lab: Lab) -> None:
    empty(lab, range(1, ROWS + 1))

    done = lab.full()

    assert (done.published, done.counts.textless) == (True, ROWS)
    assert audit(lab.project, lab.lens).in_line
    fill(lab, [5])
    lab.run(lab.request(Mode.INCREMENTAL))
    assert lab.index.count() == 1


@over_lance
def test_explain_says_why_a_row_without_a_text_is_not_found(lab: Lab) -> None:
    lab.full()
    empty(lab, [1])

    never, no_longer = (explain(lab.project, ENV, "items", id) for id in ("10", "1"))

    assert never.verdict == "Its text is empty, so it is left out of the search."
    assert no_longer.verdict == "Its text is empty now; the next sync takes its vector out."
    assert never.embedding is None
    assert never.mapped is not None
    assert never.mapped.textless
