"""Small jobs: which ones a run may do that was launched for another."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from semilayer_pipelines.registry import jobs, tables
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.jobs.sharing import SMALL_ROWS
from semilayer_pipelines.registry.lenses import Lens, LensStatus
from tests.registry.given import at, build, make_lens, queue, start


def serve(registry: Registry, lens: Lens, *, rows: int, shards: int | None = None) -> None:
    """Give a lens an index over so many rows, and so many shards in its configuration."""
    generation = build(registry, lens, source_rows=rows)
    with registry.begin() as db:
        slots = {"active_slot": lens.id, "building_slot": None}
        which = tables.generations.c.id == generation.id
        db.execute(update(tables.generations).where(which).values(**slots))
        if shards is not None:
            config = {"source": "main", "table": "items", "shards": shards}
            one = tables.lenses.c.id == lens.id
            db.execute(update(tables.lenses).where(one).values(config=config))


def small(registry: Registry) -> frozenset[str]:
    with registry.read() as db:
        return jobs.small_and_due(db, at(1))


def following(registry: Registry, mode: Mode) -> str | None:
    with registry.read() as db:
        found = jobs.next_small(db, mode, at(100))
    return None if found is None else found.id


@pytest.mark.parametrize(
    ("rows", "shards", "expected"),
    [
        (SMALL_ROWS, None, {"records", "smart_sync", "full"}),
        (SMALL_ROWS, 1, {"records", "smart_sync", "full"}),
        (SMALL_ROWS, 2, {"records", "smart_sync"}),
        (SMALL_ROWS + 1, None, {"records"}),
    ],
)
def test_what_is_small_follows_from_mode_rows_and_shards(
    rows: int, shards: int | None, expected: set[str], registry: Registry, lens: Lens
) -> None:
    serve(registry, lens, rows=rows, shards=shards)
    for mode in (Mode.RECORDS, Mode.SMART_SYNC, Mode.FULL):
        queue(registry, lens, mode, mode.value)

    assert small(registry) == expected


def test_without_an_index_only_changes_are_small(registry: Registry, lens: Lens) -> None:
    for mode in (Mode.RECORDS, Mode.SMART_SYNC, Mode.FULL):
        queue(registry, lens, mode, mode.value)

    assert small(registry) == {"records"}


def test_the_first_modes_come_first_and_of_each_what_was_due_first(
    registry: Registry, lens: Lens
) -> None:
    # given
    other = make_lens(registry, "orders")
    for one in (lens, other):
        serve(registry, one, rows=10)
    queue(registry, lens, Mode.SMART_SYNC, "sync", due_at=at(1))
    queue(registry, other, Mode.RECORDS, "later", due_at=at(3))
    queue(registry, lens, Mode.RECORDS, "sooner", due_at=at(2))

    # when, then
    order = []
    for _ in range(3):
        found = following(registry, Mode.SMART_SYNC)
        assert found
        order.append(found)
        start(registry, found)
    assert order == ["sooner", "later", "sync"]
    assert following(registry, Mode.SMART_SYNC) is None


def test_a_run_looks_at_no_mode_behind_its_own(registry: Registry, lens: Lens) -> None:
    serve(registry, lens, rows=10)
    queue(registry, lens, Mode.SMART_SYNC, "sync")

    assert following(registry, Mode.RECORDS) is None
    assert following(registry, Mode.INCREMENTAL) is None
    assert following(registry, Mode.SMART_SYNC) == "sync"
    assert following(registry, Mode.FULL) == "sync"


def test_the_next_of_a_kind_waits_for_the_one_that_runs(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "first")
    start(registry, "first")
    queue(registry, lens, Mode.RECORDS, "second")

    assert following(registry, Mode.RECORDS) is None


def test_a_paused_lens_has_no_small_jobs(registry: Registry) -> None:
    paused = make_lens(registry, "paused", status=LensStatus.PAUSED)
    queue(registry, paused, Mode.RECORDS, "waits")

    assert small(registry) == frozenset()
    assert following(registry, Mode.FULL) is None
