"""A Weaviate server that crashes hides rows; every mode finds them all again, embedding nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.control.verify import verify_lens
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.orchestration.store_watch import watch_stores
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import OUT_OF_REACH, Audit, Depth, Kind
from semilayer_pipelines.queries.unsearchable import CROWD
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.weaviate import queue
from tests.ingest.conftest import needs_the_double
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.weaviate_double.server import Double

pytestmark = needs_the_double  # a real server is killed by whoever started it

ROWS = 240


@pytest.fixture
def texts() -> list[str]:
    """What was embedded."""
    return []


@pytest.fixture
def lab(tmp_path: Path, environ: dict[str, str], texts: list[str]) -> Iterator[Lab]:
    lab = Lab.at(tmp_path, rows=ROWS, environ=environ)
    lab.project = Meddled.of(lab.project, during=texts.extend)
    lab.full()
    texts.clear()
    yield lab
    store = lab.project.store(ENV)
    for name in store.names():
        store.drop(name)


def searched(lab: Lab) -> Audit:
    return verify_lens(lab.project, lab.lens, Depth(search=True), heal=False)


def change(lab: Lab, rows: int) -> None:
    with lab.source() as db:
        db.execute(
            "UPDATE items SET name = 'other ' || id, updated_at = '2026-06-01 00:00:00' "
            "WHERE id <= ?",
            (rows,),
        )


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
def test_rows_that_a_crash_hid_while_idle_are_found_again(
    mode: Mode, lab: Lab, server: Double, texts: list[str]
) -> None:
    # given
    server.kill_and_restart(hide=24)
    before = searched(lab)
    assert before.found[Kind.HIDDEN].count == 24
    assert before.looked.restarted

    # when
    counts = lab.run(lab.request(mode)).counts

    # then
    assert counts.recovered == 24
    assert texts == []
    assert searched(lab).in_line
    assert lab.run(lab.request(mode)).counts.recovered == 0


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
def test_rows_that_a_crash_hid_in_the_middle_of_a_job_are_found_again(
    mode: Mode, lab: Lab, server: Double, texts: list[str]
) -> None:
    # given a server that dies when the first page is written
    change(lab, 200)
    with lab.project.registry.begin() as db:
        keys = [(str(number), Action.UPSERT) for number in range(1, 201)]
        changes.append(db, lab.lens.id, keys if mode is Mode.RECORDS else [], lab.project.clock())

    def crash(done: PageDone) -> None:
        if done.page == 1:
            server.kill_and_restart(hide=24)

    # when
    first = lab.run(lab.request(mode), report=crash).counts
    embedded = len(texts)
    then = lab.run(lab.request(Mode.RECORDS)).counts

    # then
    assert first.recovered + then.recovered == 24
    assert embedded == first.embedded == 200
    assert len(texts) == embedded
    assert searched(lab).in_line
    assert lab.audit().clean


def test_rows_that_lost_their_links_to_those_that_were_written_again_are_found_too(
    lab: Lab, server: Double
) -> None:
    # given a graph in which the first row that is written again costs five others their links
    server.kill_and_restart(hide=24)
    (part,) = server.state.classes.values()
    others, index = sorted(part.searchable())[:5], part.index

    def costly(id_: bytes, due: float | None) -> None:
        part.index = index  # type: ignore[method-assign]
        part.unsearchable.update(others)
        index(id_, due)

    part.index = costly  # type: ignore[method-assign]

    # when
    counts = lab.sync().counts

    # then
    assert counts.recovered == 29
    assert searched(lab).in_line


def test_a_row_that_the_index_does_not_reach_is_told_and_not_written_for_ever(
    lab: Lab, server: Double, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given patience that a test can have, and a graph in which new rows cost each other their
    # links, and two are never reached
    monkeypatch.setattr(queue, "_LATE_S", 0.2)
    server.kill_and_restart(hide=24)
    lost = verify_lens(lab.project, lab.lens, Depth(search=True), heal=False).found[Kind.HIDDEN].ids
    (part,) = server.state.classes.values()
    part.missed.update(dict.fromkeys(lost[:10], 1) | dict.fromkeys(lost[10:12], 99))

    # when what the crash hid is written again, then those are found that can be
    written = server.faults.calls["BatchObjects"]
    assert lab.sync().counts.recovered == 22
    assert server.faults.calls["BatchObjects"] - written == 3  # and no look writes those two again
    healed = verify_lens(lab.project, lab.lens, Depth(search=True), heal=True)
    assert {*healed.found[Kind.HIDDEN].ids} == {*lost[10:12]}
    assert lab.sync().counts.recovered == 0

    # and the others are told as what they are, and left alone
    again = verify_lens(lab.project, lab.lens, Depth(search=True), heal=True)
    assert again.found[Kind.HIDDEN].count == 0
    assert {*again.found[Kind.UNREACHABLE].ids} == {*lost[10:12]}
    assert again.in_line
    written = server.faults.calls["BatchObjects"]
    lab.sync()
    assert server.faults.calls["BatchObjects"] == written
    assert texts == []
    assert explain(lab.project, ENV, "items", lost[10]).verdict.endswith(OUT_OF_REACH)


def test_a_row_that_its_crowd_hides_is_told_as_that_and_not_to_be_healed(
    lab: Lab, server: Double
) -> None:
    # given many rows of one text, of which the index reaches all but one, and another hidden row
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'same', description = 'same' WHERE id <= ?", (CROWD,))
        db.execute("UPDATE items SET name = 'same', description = 'same' WHERE id = 200")
    lab.sync()
    (part,) = server.state.classes.values()
    part.unsearchable |= {
        id_ for id_, each in part.objects.items() if each.properties["_key"] in ("7", "150")
    }

    # when
    crowded, hidden = (explain(lab.project, ENV, "items", key) for key in ("7", "150"))
    found = searched(lab)

    # then, as `verify` says
    assert found.looked.crowded == CROWD + 1
    assert found.found[Kind.HIDDEN].ids == ("150",)
    assert "More than 100 rows have its text" in crowded.verdict
    assert "--heal` writes it again" in hidden.verdict


def test_an_index_that_is_built_while_the_server_crashes_is_whole(
    lab: Lab, server: Double, texts: list[str]
) -> None:
    change(lab, 200)

    outcome = lab.full(report=lambda _: server.kill_and_restart(hide=24))

    assert outcome.published
    assert len(texts) == 200
    assert searched(lab).in_line
    assert lab.audit().clean


def test_a_rebuild_takes_over_the_vectors_of_rows_that_were_recovered(
    lab: Lab, server: Double, texts: list[str]
) -> None:
    server.kill_and_restart(hide=24)
    assert lab.sync().counts.recovered == 24

    counts = lab.full().counts

    assert (counts.reused, counts.embedded) == (ROWS, 0)
    assert texts == []
    assert searched(lab).in_line


def test_the_daemon_notices_it_by_itself(lab: Lab, server: Double) -> None:
    assert watch_stores(lab.project) == "No store was started again."
    server.kill_and_restart(hide=24)

    assert "a job looks for what it hid" in watch_stores(lab.project)

    assert lab.run(lab.request(Mode.RECORDS)).counts.recovered == 24
    assert watch_stores(lab.project) == "No store was started again."
    assert searched(lab).in_line


def left_in_no_index(server: Double, *rows: int) -> None:
    """Let the server hold rows that neither its filters nor its vector index know."""
    (part,) = server.state.classes.values()
    assert part.lose({str(row) for row in rows}.__contains__) == len(rows)


def gone(lab: Lab, *rows: int) -> None:
    with lab.source() as db:
        db.executemany("DELETE FROM items WHERE id = ?", [(row,) for row in rows])


def test_rows_in_no_index_that_are_gone_from_their_source_go_with_a_sync(
    lab: Lab, server: Double, texts: list[str]
) -> None:
    # given what a crash left that nobody noticed, and two rows that are gone, one of them listed
    left_in_no_index(server, 3)
    gone(lab, 3, 4)

    # when
    counts = lab.sync().counts

    # then
    assert counts.deleted == 2
    assert texts == []
    assert lab.index.count() == ROWS - 2
    assert lab.audit().clean


def test_rows_in_no_index_are_written_again_when_the_restart_is_noticed(
    lab: Lab, server: Double, texts: list[str]
) -> None:
    # given rows in no index, one of them gone, and a caller who tells of it
    server.kill_and_restart(hide=0)
    left_in_no_index(server, 3, 5)
    gone(lab, 3)
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("3", Action.DELETE)], lab.project.clock())

    # when
    counts = lab.run(lab.request(Mode.RECORDS)).counts

    # then
    assert (counts.recovered, counts.deleted) == (2, 1)
    assert texts == []
    assert searched(lab).in_line
    assert lab.audit().clean


def test_who_may_not_ask_for_restarts_is_told_of_none(lab: Lab, server: Double) -> None:
    server.role.denied = frozenset({"read_cluster"})
    assert not searched(lab).looked.restarted
    assert watch_stores(lab.project) == "No store was started again."

    # and who may, is told
    server.role.denied = frozenset()
    server.kill_and_restart(hide=0)
    assert searched(lab).looked.restarted
