"""The queries that every page and every poll makes use an index, however long the log is.

SQLite's plans are looked at: they do not depend on statistics that a test would have to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from semilayer_pipelines.registry import changes, jobs, page_log, shards
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, make_lens

KEYS = ["a", "b"]
AFTER = at(1)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Registry, Lens]]:
    registry = Registry.open(f"sqlite:///{tmp_path}/registry.db")
    lens = make_lens(registry, "items")
    with registry.begin() as db:
        changes.append(db, lens.id, [(key, Action.UPSERT) for key in KEYS], NOW)
    yield registry, lens
    registry.close()


def plan(registry: Registry, work: Callable[[Connection], object]) -> list[str]:
    """Return the steps of the plans of all statements that `work` makes."""
    made: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        made.append((statement, parameters))

    event.listen(registry.engine, "before_cursor_execute", note)
    with registry.begin() as db:
        work(db)
    event.remove(registry.engine, "before_cursor_execute", note)
    with registry.read() as db:
        return [
            row.detail
            for statement, parameters in made
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE")
            for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


HOT: dict[str, Callable[[Connection, int], object]] = {
    "claim": lambda db, lens: changes.claim(db, lens, job_id="j", limit=9, now=NOW),
    "ack": lambda db, lens: changes.ack(db, "j", KEYS, NOW),
    "release": lambda db, lens: changes.release(db, "j"),
    "latest_seq": lambda db, lens: changes.latest_seq(db, lens),
    "newer_than": lambda db, lens: changes.newer_than(db, lens, KEYS, 0),
    "since": lambda db, lens: changes.since(db, lens, 0, 9),
    "since, upto": lambda db, lens: changes.since(db, lens, 0, 9, upto=99),
    "reopen": lambda db, lens: changes.reopen(db, lens, 0, begun_seq=9, begun_at=NOW),
    "prune": lambda db, lens: changes.prune(db, AFTER, after=0, limit=9),
    "prune pages": lambda db, lens: page_log.prune(db, AFTER, limit=9),
    "put_off": lambda db, lens: changes.put_off(db, "j", KEYS, NOW),
    "rename": lambda db, lens: changes.rename(db, "j", {"a": "A"}),
    "newest": lambda db, lens: changes.newest(db, lens, KEYS),
    "awaited": lambda db, lens: changes.awaited(db, lens),
    "next_look": lambda db, lens: changes.next_look(db, lens),
    "buffered": lambda db, lens: changes.buffered(db, lens),
    "heartbeat": lambda db, lens: jobs.beat(db, "j", NOW),
    "due": lambda db, lens: jobs.due(db, NOW),
    "small_and_due": lambda db, lens: jobs.small_and_due(db, NOW),
    "next_small": lambda db, lens: jobs.next_small(db, Mode.FULL, NOW),
    "of_run": lambda db, lens: jobs.of_run(db, "run"),
    "anything_to_do": lambda db, lens: jobs.anything_to_do(db, NOW, NOW),
    "silent": lambda db, lens: jobs.silent(db, NOW),
    "running": lambda db, lens: jobs.running(db, lens),
    "walked_since": lambda db, lens: jobs.walked_since(db, lens, NOW),
    "last_began": lambda db, lens: jobs.last_began(db, lens, [Mode.FULL, Mode.INCREMENTAL]),
    "recent": lambda db, lens: jobs.recent(db, lens_id=lens),
    "shard": lambda db, lens: shards.beat(db, 1, 0, lease="l", now=NOW),
}


@pytest.mark.parametrize("name", list(HOT))
def test_a_hot_query_never_reads_a_whole_table(filled: tuple[Registry, Lens], name: str) -> None:
    registry, lens = filled

    steps = plan(registry, lambda db: HOT[name](db, lens.id))

    assert steps
    assert [step for step in steps if step.startswith("SCAN sl_")] == []


def test_a_claim_reads_what_is_not_applied_and_then_only_its_keys(
    filled: tuple[Registry, Lens],
) -> None:
    registry, lens = filled

    steps = plan(registry, lambda db: HOT["claim"](db, lens.id))

    assert any("INDEX sl_changes_unapplied_ix (lens_id=?)" in step for step in steps), steps
    assert any("sl_changes_lens_id_key_ix (lens_id=? AND key=?)" in step for step in steps)
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_what_walked_lately_is_found_without_reading_all_jobs_of_the_lens(
    filled: tuple[Registry, Lens],
) -> None:
    registry, lens = filled

    steps = plan(registry, lambda db: HOT["walked_since"](db, lens.id))

    assert any("INDEX sl_jobs_ended_at_ix (ended_at>?)" in step for step in steps), steps
    assert not any("lens_id=?" in step for step in steps), steps


def test_the_guard_would_see_a_whole_table_being_read(filled: tuple[Registry, Lens]) -> None:
    registry, _ = filled

    steps = plan(registry, lambda db: db.exec_driver_sql("SELECT * FROM sl_changes", ()))

    assert steps == ["SCAN sl_changes"]
