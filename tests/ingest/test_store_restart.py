"""After a crash of the store's server every row is found again, and nothing is embedded for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.ingest import gather, page_size, retry
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.registry import changes, generations
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.store_watch import LostToSearch, lost_to_search
from semilayer_pipelines.stores.protocol import OWN_CONNECTION
from tests.lab import Lab
from tests.restarting import Served, Server

ROWS = 600


def write_together(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Let so many changed rows of several pages be held; of 1, each page is written by itself."""
    for name in ("FIRST_PAGE_ROWS", "GATHERED_ROWS"):
        monkeypatch.setattr(gather, name, rows)


@pytest.fixture(autouse=True)
def _small_pages_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAGE_ROWS", "MIN_PAGE_ROWS", "MAX_PAGE_ROWS"):
        monkeypatch.setattr(page_size, name, 100)
    write_together(monkeypatch, 1)
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def lab(tmp_path: Path, server: Server) -> Lab:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.project = Served.of(lab.project, server)
    return lab


@pytest.fixture
def indexed(lab: Lab, server: Server) -> Lab:
    """A lens whose rows are all indexed; what was embedded for that is forgotten."""
    lab.full()
    server.texts.clear()
    server.verbs.clear()
    return lab


def active(lab: Lab) -> Generation:
    with lab.project.registry.read() as db:
        found = generations.active(db, lab.lens.id)
    assert found is not None
    return found


def rename(lab: Lab, rows: int, name: str = "other") -> None:
    with lab.source() as db:
        db.execute(f"UPDATE items SET name = '{name}' || id WHERE id <= {rows}")


def once(act: Callable[[], None], when: Callable[[str], bool]) -> Callable[[str], None]:
    """Return what does something at the first verb that fits."""
    done: list[str] = []

    def at(verb: str) -> None:
        if not done and when(verb):
            done.append(verb)
            act()

    return at


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
def test_a_crash_while_idle_is_mended_by_the_next_job_though_it_has_nothing_to_do(
    mode: Mode, indexed: Lab, server: Server
) -> None:
    # given
    server.crash(rows=24)
    assert len(server.all_hidden) == 24

    # when
    outcome = indexed.run(indexed.request(mode))

    # then
    assert server.all_hidden == []
    assert outcome.counts.recovered == 24
    assert server.texts == []
    assert indexed.audit().clean

    # and once only
    server.verbs.clear()
    assert indexed.run(indexed.request(mode)).counts.recovered == 0
    assert "rewrite" not in server.verbs


@pytest.mark.parametrize("held", [1, 5_000])
def test_a_crash_between_two_pages_or_after_what_was_held_is_mended_by_the_run(
    held: int, indexed: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_together(monkeypatch, held)
    rename(indexed, 250)

    def crash(done: PageDone) -> None:
        if done.page == 1:
            server.crash()

    counts = indexed.sync(report=crash).counts

    assert server.all_hidden == []
    assert counts.recovered == 24
    assert len(server.texts) == counts.embedded == 250
    assert indexed.audit().clean


@pytest.mark.parametrize("held", [1, 5_000])
def test_a_crash_in_the_middle_of_a_write_is_mended(
    held: int, indexed: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that dies over a write before it has acknowledged it
    write_together(monkeypatch, held)
    rename(indexed, 250)

    def crash() -> None:
        server.crash(rows=60)
        raise StoreUnavailable("The connection was lost.", cure="It is tried again.")

    server.before = once(crash, lambda verb: verb == "upsert")

    # when
    counts = indexed.sync().counts

    # then what was written over it with equal vectors is found too
    assert server.all_hidden == []
    assert counts.recovered == 60
    assert len(server.texts) == counts.embedded == 250


def test_a_crash_after_the_last_page_is_mended_by_the_next_job(
    indexed: Lab, server: Server
) -> None:
    rename(indexed, 90)
    indexed.sync(report=lambda _: server.crash())
    server.texts.clear()

    counts = indexed.sync().counts

    assert server.all_hidden == []
    assert counts.recovered == 24
    assert server.texts == []


def test_more_rows_than_the_tail_are_mended_when_they_came_after_the_last_look(
    indexed: Lab, server: Server
) -> None:
    server.tail = 5
    rename(indexed, 250)

    indexed.sync(report=lambda done: server.crash(rows=150) if done.page == 2 else None)

    assert server.all_hidden == []


@pytest.mark.parametrize("page", [1, 3, 6])
def test_a_crash_while_an_index_is_built_leaves_it_whole(
    page: int, lab: Lab, server: Server
) -> None:
    outcome = lab.full(report=lambda done: server.crash() if done.page == page else None)

    assert outcome.published
    assert server.all_hidden == []
    assert len(server.texts) == ROWS
    assert outcome.counts.recovered == 24
    assert lab.audit().clean


def test_a_run_that_dies_in_the_mend_leaves_it_to_the_next(
    lab: Lab, server: Server, tmp_path: Path
) -> None:
    # given two chunks of hidden rows, and a run that is stopped at the second
    with lab.source() as db:
        many = "SELECT id + 1000, name, description, price, category, updated_at FROM items"
        for _ in range(2):
            db.execute(f"INSERT INTO items {many} WHERE id + 1000 NOT IN (SELECT id FROM items)")
        db.execute(
            "INSERT INTO items SELECT id + 10000, name, description, price, category, updated_at "
            "FROM items"
        )
    server.tail = 5_000
    lab.full()
    server.texts.clear()
    server.crash(rows=1_800)
    asked: list[str] = []

    def stop(verb: str) -> None:
        if verb == "rewrite":
            asked.append(verb)
            if len(asked) == 2:
                raise KeyboardInterrupt

    server.before = stop
    with pytest.raises(KeyboardInterrupt):
        lab.sync()
    left = len(server.all_hidden)
    assert 0 < left < 1_800

    # when
    server.before = lambda _: None
    counts = lab.sync().counts

    # then
    assert server.all_hidden == []
    assert counts.recovered == left
    assert server.texts == []


def test_a_second_crash_in_the_mend_is_mended_too(indexed: Lab, server: Server) -> None:
    server.crash()
    server.before = once(server.crash, lambda verb: verb == "rewrite")

    indexed.sync()
    indexed.sync()

    assert server.all_hidden == []
    assert active(indexed).incarnation == "3"


def test_a_restart_that_another_machine_has_mended_is_not_mended_again(
    indexed: Lab, server: Server, tmp_path: Path
) -> None:
    server.crash()
    other = Lab(Served.of(indexed.project, server), indexed.folder)
    assert other.sync().counts.recovered == 24

    server.verbs.clear()
    assert indexed.sync().counts.recovered == 0
    assert not {"last_written", "rewrite"} & {*server.verbs}


def test_machines_that_notice_it_at_once_mend_it_once(indexed: Lab, server: Server) -> None:
    # given another machine that was faster, after this one saw the restart and before its lock
    server.crash()
    other = Lab(Served.of(indexed.project, server), indexed.folder)
    with indexed.project.registry.begin() as db:
        changes.append(db, indexed.lens.id, [("1", Action.UPSERT)], indexed.project.clock())
    job = indexed.request(Mode.RECORDS)

    def be_faster() -> None:
        other.run(job)

    server.before = once(be_faster, lambda verb: verb == "incarnation")

    # when
    indexed.sync()

    # then
    assert server.verbs.count("rewrite") == 1
    assert server.all_hidden == []


def test_a_store_that_tells_of_no_restart_is_asked_nothing_more(lab: Lab, server: Server) -> None:
    server.start = None
    lab.full()
    rename(lab, 10)
    lab.sync()

    assert active(lab).incarnation is None
    assert not {"last_written", "hidden", "rewrite"} & {*server.verbs}


def test_where_nobody_may_ask_a_run_takes_a_lost_connection_for_a_restart(
    indexed: Lab, server: Server
) -> None:
    server.told = OWN_CONNECTION
    rename(indexed, 250)

    def crash(done: PageDone) -> None:
        if done.page == 1:
            server.crash()

    assert indexed.sync(report=crash).counts.recovered == 24
    assert server.all_hidden == []

    # and the connection of another run means nothing to this one
    server.start = 99
    server.verbs.clear()
    rename(indexed, 10, name="third")
    assert indexed.sync().counts.recovered == 0
    assert not {"last_written", "rewrite"} & {*server.verbs}


def test_the_first_look_is_only_noted(lab: Lab, server: Server) -> None:
    server.start = None
    lab.full()
    server.start = 7

    lab.sync()

    assert active(lab).incarnation == "7"
    assert not {"last_written", "rewrite"} & {*server.verbs}


def test_a_store_that_is_away_stops_the_job_and_is_mended_when_it_is_back(
    indexed: Lab, server: Server
) -> None:
    server.crash()
    server.away = True
    job = indexed.request(Mode.SMART_SYNC)

    with pytest.raises(StoreUnavailable):
        indexed.run(job)
    server.away = False
    with indexed.project.registry.begin() as db:
        from semilayer_pipelines.registry import jobs

        assert jobs.get(db, job.id).status is JobStatus.QUEUED
        jobs.hasten(db, job.id, indexed.project.clock())
    counts = indexed.run(job).counts

    assert counts.recovered == 24
    assert server.all_hidden == []


def test_looks_are_noted_now_and_then_and_not_with_every_page(indexed: Lab, server: Server) -> None:
    noted = active(indexed).watched_at
    assert noted is not None

    # when nothing but moments have passed
    rename(indexed, 250)
    indexed.sync()
    assert active(indexed).watched_at == noted

    # and when it was a minute
    clock = indexed.project.clock
    later = Served(indexed.project.settings, {}, lambda: clock() + timedelta(minutes=1), server)
    rename(indexed, 10, "third")
    Lab(later, indexed.folder).sync()
    then = active(indexed).watched_at
    assert then is not None
    assert then > noted


def test_what_was_recovered_is_counted_for_the_metrics(indexed: Lab, server: Server) -> None:
    server.crash()
    indexed.sync()

    with indexed.project.registry.read() as db:
        assert lost_to_search(db) == LostToSearch(known=0, recovered=24)
