"""What a row that was set aside leaves behind: never anything in a tenant that it has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import (
    EmbedderUnavailable,
    EmbeddingRejected,
    SemilayerError,
    TooManyFailures,
)
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.queries.old_vectors import old_vectors
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry import failed_rows
from semilayer_pipelines.registry.lenses import Needs
from tests.ingest.ways import by_incremental, by_rebuild, by_records, by_sync
from tests.lab import ENV, Lab
from tests.workload import FIELDS

ROWS = 120
WITH_TENANTS = FIELDS | {
    "category": {"type": "text"},
    "price": {"type": "number", "from": "price"},
}
MOVED = "'2026-06-01 00:00:00'"


@pytest.fixture(params=["lancedb", "weaviate"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A lens whose rows are the tenants' `a` and `b`, by turns; it is indexed."""
    told = {} if request.param == "lancedb" else request.getfixturevalue("environ")
    made = Lab.at(tmp_path, rows=ROWS, environ=told, fields=WITH_TENANTS, tenant="category")
    change(made, "category = CASE WHEN id % 2 THEN 'a' ELSE 'b' END")
    made.full()
    yield made
    store = made.project.store(ENV)
    for name in store.names():
        store.drop(name)


over_lance = pytest.mark.parametrize("lab", ["lancedb"], indirect=True)


def change(lab: Lab, what: str, ids: Sequence[int] | None = None) -> None:
    chosen = "" if ids is None else f" WHERE id IN ({', '.join(map(str, ids))})"
    with lab.source() as db:
        db.execute(f"UPDATE items SET {what}, updated_at = {MOVED}{chosen}")


def found_by(lab: Lab, tenant: str) -> set[str]:
    hits = search(lab.project, lab.name, "x", limit=ROWS, where={"category": tenant})
    return {hit.id for hit in hits}


EVERY_MODE = pytest.mark.parametrize("bring_in", [by_records, by_incremental, by_sync, by_rebuild])


@EVERY_MODE
@pytest.mark.parametrize("now", ["'b'", "NULL", "'  '"])
def test_a_row_that_cannot_be_mapped_leaves_the_tenant_that_it_left(
    lab: Lab, bring_in: Callable[[Lab, Sequence[int]], None], now: str
) -> None:
    assert {"1", "3", "5"} <= found_by(lab, "a")
    change(lab, f"category = {now}, price = 'no number'", [1, 3])
    change(lab, "price = 'no number'", [5])
    if bring_in is not by_rebuild:
        report = audit(lab.project, lab.lens)
        assert report.found[Kind.ORPHAN].ids == ("1", "3")
        assert not report.in_line

    bring_in(lab, [1, 3, 5])

    assert not found_by(lab, "a") & {"1", "3"}
    assert not found_by(lab, "b") & {"1", "3"}
    # Another fault is no reason to lose a row; a new index never had it.
    assert ("5" in found_by(lab, "a")) is (bring_in is not by_rebuild)
    assert audit(lab.project, lab.lens).in_line
    with lab.project.registry.read() as db:
        assert sorted(failed_rows.keys(db, lab.lens.id, 10)) == ["1", "3", "5"]


class Away:
    """An embedder that refuses some texts, or is away altogether."""

    def __init__(self, lab: Lab) -> None:
        self._inner = lab.project.embedder(lab.lens.config.embedding)
        self.fingerprint = self._inner.fingerprint
        self.away = False

    def embed(self, texts: Sequence[str]) -> Embedded:
        if self.away:
            raise EmbedderUnavailable("nobody answers")
        if any("poison" in text for text in texts):
            raise EmbeddingRejected("a poison text")
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        return self._inner.reading()


@pytest.fixture
def embedder(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Away:
    made = Away(lab)
    monkeypatch.setattr(type(lab.project), "embedder", lambda self, config, built=None: made)
    return made


@pytest.mark.parametrize("bring_in", [by_records, by_incremental, by_sync])
def test_a_row_that_cannot_be_embedded_leaves_its_old_tenant_all_the_same(
    lab: Lab, embedder: Away, bring_in: Callable[[Lab, Sequence[int]], None]
) -> None:
    change(lab, "category = 'b', name = 'poison'", [1])
    change(lab, "name = 'poison'", [3])

    bring_in(lab, [1, 3])

    assert not {"1"} & (found_by(lab, "a") | found_by(lab, "b"))
    assert "3" in found_by(lab, "a")


@pytest.mark.parametrize("bring_in", [by_records, by_incremental, by_sync])
def test_an_embedder_that_is_away_keeps_no_row_in_its_old_tenant(
    lab: Lab, embedder: Away, bring_in: Callable[[Lab, Sequence[int]], None]
) -> None:
    # given a row that moved and must be embedded, one that only moved, and one that is at fault
    change(lab, "category = 'b', name = 'new'", [1])
    change(lab, "category = 'b'", [3])
    change(lab, "category = 'b', price = 'no number'", [5])
    change(lab, "name = 'new'", [7])
    embedder.away = True

    with pytest.raises(SemilayerError, match="nobody answers"):
        bring_in(lab, [1, 3, 5, 7])
    embedder.away = False

    # then none of them is its old tenant's, and the outage cost no other row
    assert not found_by(lab, "a") & {"1", "3", "5"}
    assert "7" in found_by(lab, "a")
    lab.sync()
    assert {"1", "3"} <= found_by(lab, "b")
    assert audit(lab.project, lab.lens).in_line


def test_rows_that_moved_leave_even_where_most_of_a_page_cannot_be_mapped(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=300, fields=WITH_TENANTS, tenant="category")
    change(lab, "category = 'a'")
    lab.full()
    change(lab, "price = 'no number'")
    change(lab, "category = 'b'", [1, 2])

    with pytest.raises(TooManyFailures):
        lab.sync()

    assert lab.index.count() == 298
    assert not found_by(lab, "a") & {"1", "2"}


@over_lance
def test_a_row_that_the_source_cannot_read_leaves_the_tenant_that_it_left(lab: Lab) -> None:
    with lab.source() as db:
        db.execute(
            "CREATE VIEW shown AS SELECT id, name, description, category, updated_at, "
            "json_extract(CASE WHEN price < 0 THEN '{' ELSE '{\"p\": 1}' END, '$.p') AS price "
            "FROM items"
        )
    lab.push(table="shown", primaryKey="id", fields=WITH_TENANTS, tenant="category")
    lab.full()
    change(lab, "category = 'b', price = -1", [1])
    change(lab, "price = -1", [3])

    lab.sync()

    assert not {"1"} & (found_by(lab, "a") | found_by(lab, "b"))
    assert "3" in found_by(lab, "a")


@EVERY_MODE
@pytest.mark.parametrize("tenant", ["category", None])
def test_a_lens_may_take_out_what_a_row_was_before_it_was_set_aside(
    lab: Lab, bring_in: Callable[[Lab, Sequence[int]], None], tenant: str | None
) -> None:
    lab.push(fields=WITH_TENANTS, tenant=tenant, onFailure="remove")
    if lab.lens.needs is Needs.REBUILD:
        lab.full()
    change(lab, "price = 'no number'", [1])
    assert lab.index.fetch(["1"]).height == 1
    if bring_in is not by_rebuild:
        verdict = explain(lab.project, ENV, "items", "1").verdict
        assert verdict == "It cannot be mapped; the next sync takes out what it was before."

    bring_in(lab, [1])

    assert lab.index.fetch(["1"]).height == 0
    assert lab.index.count() == ROWS - 1
    if bring_in is not by_rebuild or lab.lens.needs is Needs.NOTHING:
        assert audit(lab.project, lab.lens).found[Kind.ORPHAN].count == 0
    change(lab, "price = 1", [1])
    lab.sync()
    assert lab.index.count() == ROWS


@over_lance
def test_a_lens_that_now_removes_takes_out_what_was_set_aside_before(lab: Lab) -> None:
    change(lab, "price = 'no number'", [1])
    lab.sync()
    assert lab.index.fetch(["1"]).height == 1

    lab.push(fields=WITH_TENANTS, tenant="category", onFailure="remove")

    assert lab.lens.needs.value == "smart_sync"
    lab.sync()
    assert lab.index.fetch(["1"]).height == 0
    assert lab.lens.needs.value == "nothing"
    lab.push(fields=WITH_TENANTS, tenant="category")
    assert lab.lens.needs.value == "nothing"


@over_lance
def test_what_a_sync_takes_out_of_a_row_that_is_set_aside_leaves_the_row_on_the_list(
    lab: Lab,
) -> None:
    # given a failed row from before, and another one that cannot be mapped from now on
    lab.push(fields=WITH_TENANTS, tenant="category", onFailure="remove")
    lab.sync()
    change(lab, "price = 'no number'", [5])
    lab.sync()
    change(lab, "price = 'no number'", [6])

    # when
    assert lab.sync().counts.deleted == 1

    # then both are told
    assert lab.index.get("6") is None
    with lab.project.registry.read() as db:
        assert sorted(failed_rows.keys(db, lab.lens.id, 10)) == ["5", "6"]


@over_lance
def test_removing_has_a_guard_and_an_outage_removes_nothing(lab: Lab, embedder: Away) -> None:
    lab.push(fields=WITH_TENANTS, tenant="category", onFailure="remove")
    lab.sync()
    change(lab, "name = 'new'", [1])
    embedder.away = True

    with pytest.raises(SemilayerError, match="nobody answers"):
        lab.sync()

    assert lab.index.count() == ROWS
    assert lab.index.fetch(["1"]).height == 1


def test_a_row_whose_key_is_not_unique_keeps_what_one_of_its_rows_is(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=10)
    with lab.source() as db:
        db.execute("CREATE TABLE twice AS SELECT * FROM items UNION ALL SELECT * FROM items")
        db.execute("UPDATE twice SET price = rowid")
    lab.push(table="twice", primaryKey="id", onFailure="remove")
    lab.full()

    lab.sync()

    assert lab.index.count() == 10


def test_the_list_of_failed_rows_can_tell_what_the_index_still_has_of_them(lab: Lab) -> None:
    change(lab, "price = 'no number'", [1, 3])
    change(lab, "category = NULL", [3])
    lab.sync()
    with lab.project.registry.read() as db:
        rows = failed_rows.list_all(db, lab.lens.id, 10)

    old = old_vectors(lab.project, lab.lens, rows)

    assert old is not None
    assert list(old) == ["1"]
    assert old["1"] <= lab.project.clock()
