"""An audit finds what is out of line, names it, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.findings import OUT_OF_LINE, SHOWN_IDS, Audit, Kind
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.ingest.strangers import double, put, shorten
from tests.lab import Lab
from tests.meddling import Meddled
from tests.workload import FIELDS

ROWS = 600


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    return lab


def audited(lab: Lab) -> Audit:
    return audit(lab.project, lab.lens)


def kinds(found: Audit) -> dict[Kind, tuple[str, ...]]:
    return {kind: tuple(sorted(one.ids)) for kind, one in found.found.items() if one.count}


def test_an_index_in_line_is_told_so(lab: Lab) -> None:
    found = audited(lab)

    assert found.in_line
    assert (found.rows, found.objects, found.problems) == (ROWS, ROWS, ())
    assert kinds(found) == {}
    assert found.to_embed.texts == 0


def test_every_kind_of_difference_is_found_with_its_ids_and_nothing_is_written(lab: Lab) -> None:
    # given one or two of everything that can be wrong
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 1")
        db.execute("UPDATE items SET price = -1 WHERE id = 2")
        db.execute("DELETE FROM items WHERE id IN (3, 599)")
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 4")
    row = lab.object_of("6")["_row_hash"]
    with lab.index.lock():
        lab.index.delete(["5", "6", "598"])
    put(lab, "7", _key=lambda _: pa.array(["no number"]))
    put(
        lab,
        "8",
        _key=lambda _: pa.array(["6"]),
        _row_hash=lambda _: pa.array([row]),
        _text_hash=lambda _: pa.array([b"0" * 16]),
    )
    double(lab, "9")
    verbs: list[str] = []

    # when
    found = audit(Meddled.of(lab.project, before=verbs.append), lab.lens)

    # then each is told as what it is
    assert not found.in_line
    assert kinds(found) == {
        Kind.MISSING: ("5", "598"),
        Kind.STALE: ("1", "2"),
        Kind.WRONG_MODEL: ("6",),
        Kind.DOUBLED: ("9",),
        Kind.ORPHAN: ("3", "599", "no number"),
        Kind.SET_ASIDE: ("4",),
    }
    # and of the price alone nothing would be embedded
    assert found.to_embed.texts == 4
    assert not {"lock", "add", "upsert", "delete"} & set(verbs)

    # and a smart sync mends exactly that
    counts = lab.sync().counts
    assert counts.embedded == 4
    assert counts.deleted == 3
    assert audited(lab).in_line


def test_an_index_of_which_most_rows_are_set_aside_is_not_in_sync(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id <= 300")
    assert audited(lab).in_line

    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 301")
    found = audited(lab)

    assert not found.in_line
    [problem] = found.problems
    assert problem.startswith("301 of 600 rows are set aside")
    assert not found.rebuild


def test_many_are_counted_and_the_first_named(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other'")

    stale = audited(lab).found[Kind.STALE]

    assert stale.count == ROWS
    assert stale.ids == tuple(str(n) for n in range(1, SHOWN_IDS + 1))


def test_a_difference_that_a_buffered_change_will_mend_is_only_pending(lab: Lab) -> None:
    # given a changed, a new and a deleted row that callers named
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 1")
        db.execute("DELETE FROM items WHERE id = 3")
    named = [("1", Action.UPSERT), ("3", Action.DELETE), ("5", Action.UPSERT)]
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, named, lab.project.clock())

    # when, then
    found = audited(lab)
    assert found.in_line
    assert kinds(found) == {Kind.PENDING: ("1", "3")}

    # and once they are applied there is nothing left
    lab.run(lab.request(Mode.RECORDS))
    assert kinds(audited(lab)) == {}


def test_what_is_indexed_while_the_audit_walks_is_no_difference(lab: Lab) -> None:
    # given a changed row that a sync brings in after the index was scanned
    come: list[bool] = []
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 1")

    def sync_before_looking_again(verb: str) -> None:
        if verb == "fetch" and not come:
            come.append(True)
            run_job(lab.project, lab.request(Mode.SMART_SYNC).id)

    found = audit(Meddled.of(lab.project, before=sync_before_looking_again), lab.lens)

    assert come
    assert kinds(found) == {}


def test_a_model_that_changed_under_its_name_is_out_of_line_as_a_whole(lab: Lab) -> None:
    found = audit(Meddled.of(lab.project, fingerprint="hash:another"), lab.lens)

    assert found.rebuild
    assert "now hash:another under the same name" in found.problems[0]
    assert found.found[Kind.WRONG_MODEL].count == ROWS


def test_a_lens_that_needs_a_rebuild_is_held_against_what_it_was_built_with(lab: Lab) -> None:
    # given a push that took a field away, and one row that changed
    lab.push(shards=2, fields={name: FIELDS[name] for name in ("name", "description")})
    with lab.source() as db:
        db.execute("UPDATE items SET price = -1 WHERE id = 2")

    found = audited(lab)

    assert (found.in_line, found.rebuild) == (False, True)
    assert kinds(found) == {Kind.STALE: ("2",)}


def test_a_lens_without_an_index_has_all_rows_missing(tmp_path: Path) -> None:
    found = audited(Lab.at(tmp_path, rows=5))

    assert found.problems == ("There is no index yet.",)
    assert found.found[Kind.MISSING].count == 5
    assert found.to_embed.texts == 5


def test_the_kinds_that_count_are_those_a_sync_mends() -> None:
    assert set(Kind) - set(OUT_OF_LINE) == {
        Kind.PENDING,
        Kind.SET_ASIDE,
        Kind.TEXTLESS,
        Kind.NO_KEY,
        Kind.UNREACHABLE,
    }


def test_an_empty_index_and_an_empty_source_are_in_line(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1)
    with lab.source() as db:
        db.execute("DELETE FROM items")
    lab.full()

    assert audited(lab).in_line


def test_an_index_of_another_dimension_is_out_of_line_as_a_whole(lab: Lab) -> None:
    shorten(lab)

    found = audited(lab)

    assert found.rebuild
    assert "2 dimensions, it was built with 384" in found.problems[0]
    assert found.found[Kind.MISSING].count == found.found[Kind.STALE].count == 0


def test_keys_of_several_columns_are_named_as_callers_name_them(tmp_path: Path) -> None:
    # given a table whose key is a number and a text
    lab = Lab.at(tmp_path, rows=40, primaryKey=["id", "category"])
    lab.full()
    with lab.source() as db:
        (category,) = db.execute("SELECT category FROM items WHERE id = 3").fetchone()
        db.execute("UPDATE items SET name = 'other' WHERE id = 3")
        (gone,) = db.execute("SELECT category FROM items WHERE id = 4").fetchone()
        db.execute("DELETE FROM items WHERE id = 4")

    assert kinds(audited(lab)) == {
        Kind.STALE: (f'["3","{category}"]',),
        Kind.ORPHAN: (f'["4","{gone}"]',),
    }
