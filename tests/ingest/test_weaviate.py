"""The whole engine over Weaviate: a server at `WEAVIATE_URL` or, without it, our double."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.push import plan_push
from semilayer_pipelines.errors import ConfigError, StoreFull, TooManyFailures
from semilayer_pipelines.ingest.retention import KEEP_RETIRED, drop_retired, tidy
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.checks import Check, check_lens
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import OUT_OF_LINE
from semilayer_pipelines.registry import changes, failed_rows, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.jobs.waits import SOON
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.protocol import KEY
from semilayer_pipelines.stores.weaviate import connection
from semilayer_pipelines.stores.weaviate.connection import connected
from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
from semilayer_pipelines.stores.weaviate.store import WeaviateStore
from tests import servers
from tests.beside import beside
from tests.ingest.conftest import needs_the_double
from tests.ingest.test_kill import give_up_on_the_dead, kill_after, start
from tests.lab import ENV, Lab, lens_config
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double

ROWS = 800


@pytest.fixture
def lab(tmp_path: Path, environ: dict[str, str]) -> Iterator[Lab]:
    lab = Lab.at(tmp_path, rows=ROWS, environ=environ, shards=2)
    yield lab
    store = lab.project.store(ENV)
    for name in store.names():
        store.drop(name)


def alias_target(lab: Lab, environ: dict[str, str]) -> str | None:
    client = connected(WeaviateSettings.from_environ(environ), lab.folder)
    found = client.alias.get(alias_name=f"{environ['WEAVIATE_PREFIX']}_Test_items")
    return None if found is None else found.collection


def change(lab: Lab, *, prefix: str, every: int) -> list[int]:
    ids = list(range(every, ROWS, every))
    with lab.source() as db:
        db.execute(
            "UPDATE items SET name = ? || id, updated_at = '2026-06-01 00:00:00' WHERE id % ? = 0",
            (prefix, every),
        )
    return ids


def test_full_sync_incremental_and_records_end_as_the_source(
    lab: Lab, environ: dict[str, str]
) -> None:
    assert isinstance(cast(ChunkedStore, lab.project.store(ENV)).inner, WeaviateStore)
    assert lab.full().counts.written == ROWS
    assert lab.audit().clean
    first = alias_target(lab, environ)

    change(lab, prefix="moved ", every=7)
    assert lab.run(lab.request(Mode.INCREMENTAL)).counts.written > 0
    assert lab.audit().clean

    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id % 10 = 0")
    assert lab.sync().counts.deleted == ROWS // 10
    assert lab.audit().clean

    ids = change(lab, prefix="told ", every=3)
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 3")
    with lab.project.registry.begin() as db:
        told = [(str(n), Action.DELETE if n == 3 else Action.UPSERT) for n in ids]
        changes.append(db, lab.lens.id, told, lab.project.clock())
    lab.run(lab.request(Mode.RECORDS))
    assert lab.audit().clean

    # A rebuild takes the vectors over, moves the alias, and leaves one index when it is over.
    rebuilt = lab.full()
    assert rebuilt.counts.embedded == 0
    assert lab.audit().clean
    assert alias_target(lab, environ) not in (None, first)
    late = lab.project.clock() + KEEP_RETIRED + timedelta(seconds=1)
    assert len(drop_retired(lab.project.registry, lab.project.store, late)) == 1
    assert len(lab.project.store(ENV).names()) == 1
    assert alias_target(lab, environ) is not None


@pytest.mark.slow  # the engine is the same over LanceDB, where it is killed in the quick tests
def test_a_sync_over_weaviate_killed_again_and_again_ends_as_the_source(lab: Lab) -> None:
    lab.full()
    dice, killed = random.Random(8), 0
    for turn in range(2):
        change(lab, prefix=f"turn {turn} ", every=2 + turn)
        with lab.source() as db:
            db.execute("DELETE FROM items WHERE id % 50 = ?", (turn,))
        killed += kill_after(start(lab, Mode.SMART_SYNC), dice.uniform(0.05, 0.5))
        give_up_on_the_dead(lab)
    lab.sync()

    assert killed >= 1
    assert lab.audit().clean


@pytest.mark.slow
def test_a_full_ingest_over_weaviate_killed_again_and_again_ends_as_the_source(lab: Lab) -> None:
    dice, killed = random.Random(9), 0
    for _ in range(4):
        killed += kill_after(start(lab, Mode.FULL), dice.uniform(0.0, 0.8))
        give_up_on_the_dead(lab)
    lab.full()

    assert killed >= 2
    assert lab.audit().clean


def test_lost_answers_cut_connections_and_refused_requests_lose_and_double_nothing(
    lab: Lab, server: Any
) -> None:
    for kind in (Kind.APPLIED, Kind.STATUS, Kind.APPLIED_RESET, Kind.RESET):
        server.faults.add("BatchObjects", kind)
    server.faults.add("Search", Kind.STATUS, times=2)
    lab.full()
    assert not [fault for fault in server.faults.waiting if fault.verb == "BatchObjects"]
    assert lab.audit().clean

    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id % 20 = 0")
    server.faults.add("BatchDelete", Kind.APPLIED)
    server.faults.add("BatchDelete", Kind.PARTIAL)
    lab.sync()
    assert lab.audit().clean


def test_a_row_that_the_store_rejects_is_set_aside_and_the_others_go_on(
    lab: Lab, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    poison = frozenset({"17", "18"})
    server.faults.add(
        "BatchObjects", Kind.OBJECTS, times=1_000, keys=poison, text="invalid text property"
    )

    outcome = lab.full()

    assert (outcome.counts.written, outcome.counts.failed) == (ROWS - 2, 2)
    assert lab.index.count() == ROWS - 2
    with lab.project.registry.read() as db:
        listed = failed_rows.list_all(db, lab.lens.id, 10)
    assert {row.key for row in listed} == poison
    assert {(row.stage, row.reason) for row in listed} == {("writing", "invalid text property")}
    # The client would log every failed object, properties and all.
    assert "description" not in caplog.text

    # Once the store takes them, the next sync brings them in and strikes them off the list.
    server.faults.waiting.clear()
    lab.sync()
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0


def test_a_store_that_rejects_most_rows_fails_the_job_and_sets_none_aside(
    lab: Lab, server: Any
) -> None:
    server.faults.add("BatchObjects", Kind.OBJECTS, times=1_000, text="invalid text property")

    with pytest.raises(TooManyFailures, match=r"The store rejects \d+ of \d+ rows.*invalid text"):
        lab.full()

    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0
        (again,) = jobs.queued(db, lab.lens.id)
    assert "invalid text property" in (lab.lens.error or "")

    # Once the store takes them, the same job does it.
    server.faults.waiting.clear()
    lab.run(again)
    assert lab.audit().clean
    assert lab.lens.status is LensStatus.READY


def test_a_read_only_store_fails_the_job_and_sets_no_row_aside(lab: Lab, server: Any) -> None:
    server.faults.add(
        "BatchObjects",
        Kind.OBJECTS,
        times=99,
        text="store is read-only due to: resource pressure",
    )
    with pytest.raises(StoreFull, match="read-only"):
        lab.full()
    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0
    # The job waits for its next attempt, which finds room: nobody has to do anything.
    assert lab.lens.status is not LensStatus.ERROR
    server.faults.waiting.clear()
    with lab.project.registry.read() as db:
        (again,) = jobs.queued(db, lab.lens.id)
    assert again.due_at - lab.project.clock() <= SOON
    lab.run(again)
    assert lab.audit().clean
    assert (lab.lens.status, lab.lens.error) == (LensStatus.READY, None)


@needs_the_double
@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
def test_a_run_whose_server_restarts_goes_on_within_the_attempt(
    lab: Lab, server: Any, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(connection, "WAITS_S", (0.1, 0.2))
    if mode is not Mode.FULL:
        lab.full()
    ids = change(lab, prefix="restarted ", every=3)
    with lab.project.registry.begin() as db:
        told = [(str(number), Action.UPSERT) for number in ids if mode is Mode.RECORDS]
        changes.append(db, lab.lens.id, told, lab.project.clock())
    full = mode is Mode.FULL
    job = lifecycle.request_rebuild(lab.project, ENV, lab.name) if full else lab.request(mode)

    # when the server goes away, for longer than a person would be kept waiting
    server.stop_grpc()
    back = threading.Timer(1.0, server.start_grpc)
    back.start()
    lab.run(job)

    # then
    back.join()
    with lab.project.registry.read() as db:
        ended = jobs.get(db, job.id)
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
    assert lab.audit().clean


def a_searcher_that_counts(lab: Lab, answers: list[int]) -> AbstractContextManager[None]:
    """Search the index in use all the time; fail if a live row is ever absent or there twice."""
    live = {str(number) for number in range(1, ROWS + 1)}
    vector = lab.project.embedder(lab.lens.config.embedding).embed(["moved"]).vectors[0].tolist()

    def search() -> None:
        # More than there are, so that nothing is left to how exact the server's index is.
        keys = lab.index.search(vector, limit=ROWS + 100)[KEY].to_list()
        assert len(keys) == len(set(keys)), "a row was there twice"
        assert live == set(keys), f"{len(live - set(keys))} live rows were absent"
        answers.append(len(keys))

    return beside(search)


def test_no_answer_is_short_or_doubled_while_rows_are_written_by_every_mode(
    lab: Lab, server: Any
) -> None:
    # given an index, on a server that takes its time between storing and indexing
    lab.full()
    if isinstance(server, Double):
        server.state.gap_s = 0.02
    answers: list[int] = []

    # when a fifth of its rows is written again and again, and searched for meanwhile
    with a_searcher_that_counts(lab, answers):
        for turn in range(3):
            change(lab, prefix=f"sync {turn} ", every=5)
            assert lab.sync().counts.written >= ROWS // 5 - 1
            change(lab, prefix=f"incremental {turn} ", every=5)
            lab.run(lab.request(Mode.INCREMENTAL))
            ids = change(lab, prefix=f"records {turn} ", every=5)
            with lab.project.registry.begin() as db:
                told = [(str(n), Action.UPSERT) for n in ids]
                changes.append(db, lab.lens.id, told, lab.project.clock())
            lab.apply_all()

    # then each answer had every row once
    assert len(answers) > 10


def test_searches_see_a_whole_index_through_rebuilds_with_changes_arriving(lab: Lab) -> None:
    lab.full()
    with a_searcher_that_counts(lab, []):
        for turn in range(2):
            ids = change(lab, prefix=f"turn {turn} ", every=5)
            with lab.project.registry.begin() as db:
                told = [(str(n), Action.UPSERT) for n in ids]
                changes.append(db, lab.lens.id, told, lab.project.clock())
            lab.full()
    assert lab.audit().clean


def test_a_name_that_a_killed_run_left_behind_is_set_right_by_tidying(
    lab: Lab, environ: dict[str, str]
) -> None:
    lab.full()
    right = alias_target(lab, environ)
    client = connected(WeaviateSettings.from_environ(environ), lab.folder)
    client.alias.delete(alias_name=f"{environ['WEAVIATE_PREFIX']}_Test_items")
    tidy(lab.project)
    assert right is not None
    assert alias_target(lab, environ) == right


def test_two_lenses_that_weaviate_would_take_for_one_are_refused_at_push(lab: Lab) -> None:
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {"main": {"bridge": "sql", "connection": f"sqlite:///{lab.database}"}},
            "lenses": {name: lens_config() for name in ("my-items", "my_items")},
        }
    )
    with pytest.raises(ConfigError, match=r"'my-items' and 'my_items' apart"):
        plan_push(lab.project, config, ENV)


@pytest.mark.slow
def test_machines_that_share_postgresql_and_weaviate_fill_one_index_and_double_nothing(
    tmp_path: Path,
    environ: dict[str, str],
    postgres_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a registry in PostgreSQL, as for writers on several machines
    shared = environ | {"SEMILAYER_REGISTRY_URL": servers.emptied(postgres_database)}
    monkeypatch.setenv("SEMILAYER_REGISTRY_URL", shared["SEMILAYER_REGISTRY_URL"])
    lab = Lab.at(tmp_path, rows=ROWS, environ=shared, shards=2)

    # when two processes fill a shard each, and one of them is killed on the way
    one, other = start(lab, Mode.FULL, 0), start(lab, Mode.FULL, 1)
    kill_after(one, 0.2)
    assert other.wait() == 0
    give_up_on_the_dead(lab)
    lab.full()

    # then the index is the source, and no lock was a file of one machine
    assert lab.audit().clean
    assert lab.index.count() == ROWS
    assert not (lab.project.settings.home / "weaviate" / "locks").exists()
    lab.project.store(ENV).drop(lab.index.name)


def test_an_audit_an_explanation_and_checks_see_what_lance_would_show(lab: Lab) -> None:
    # given a row that changed, one that is gone, and an object that got lost
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 1")
        db.execute("DELETE FROM items WHERE id = 2")
    with lab.index.lock():
        lab.index.delete(["3"])

    # when
    found = audit(lab.project, lab.lens)

    # then
    wrong = {str(k): found.found[k].ids for k in OUT_OF_LINE if found.found[k].count}
    assert wrong == {"stale": ("1",), "orphan": ("2",), "missing": ("3",)}
    assert found.to_embed.texts == 2
    row = explain(lab.project, ENV, "items", "4")
    assert row.verdict == "It is indexed as it is in the source."
    assert row.indexed is not None
    assert row.indexed.job_id is not None
    verdicts = check_lens(lab.project, lab.lens, frozenset(Check), seed=1)
    assert verdicts[Check.MODEL].passed
    assert lab.sync().counts.deleted == 1
    assert audit(lab.project, lab.lens).in_line


@needs_the_double
def test_an_index_is_published_only_after_the_server_says_that_it_is_built(
    lab: Lab, server: Any
) -> None:
    lab.full()
    asked_how_far = [at for at, path in enumerate(server.asked) if path.startswith("/nodes/")]
    published = [at for at, path in enumerate(server.asked) if path.startswith("/aliases/")]
    assert asked_how_far
    assert asked_how_far[0] < published[0]
