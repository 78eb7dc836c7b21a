from __future__ import annotations

import pytest
from sqlalchemy import func, select

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import (
    call_log,
    changes,
    cursors,
    environments,
    failed_rows,
    lenses,
    marked_rows,
    quiet,
    tables,
    walks,
)
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs
from semilayer_pipelines.registry.marked_rows import Fault
from semilayer_pipelines.registry.walks import Walk
from tests.pages import page_done
from tests.registry.given import NOW, at, build, lens_config, make_lens, queue

WALK = Walk(
    whole_at=NOW,
    rows=1,
    textless=0,
    fingerprint="f",
    place="p",
    mark=None,
    since=None,
    token=None,
    kept=None,
    digest=None,
)


def test_a_new_lens_is_paused(registry: Registry) -> None:
    config = lens_config(syncInterval="5m")

    with registry.begin() as db:
        env = environments.ensure(db, "test", NOW)
        lens = lenses.register(
            db, env.id, "items", config, needs=Needs.REBUILD, origin="push", now=NOW
        )

    assert lens == Lens(
        id=lens.id,
        env_id=env.id,
        env="test",
        name="items",
        config=config,
        status=LensStatus.PAUSED,
        needs=Needs.REBUILD,
        error=None,
        cure=None,
        origin="push",
        pushed_at=NOW,
        changed_at=NOW,
    )


def test_registering_again_changes_the_configuration_and_keeps_the_status(
    registry: Registry, lens: Lens
) -> None:
    wider = lens_config(shards=8)

    with registry.begin() as db:
        again = lenses.register(
            db, lens.env_id, "items", wider, needs=Needs.SMART_SYNC, origin="console", now=at(9)
        )

    assert (again.id, again.status) == (lens.id, LensStatus.READY)
    assert again.config == wider
    assert again.config_hash != lens.config_hash
    assert (again.needs, again.origin, again.pushed_at) == (Needs.SMART_SYNC, "console", at(9))


def test_an_error_stays_with_its_status_and_goes_with_the_next(
    registry: Registry, lens: Lens
) -> None:
    with registry.begin() as db:
        lenses.set_status(
            db, lens.id, LensStatus.ERROR, error="no table", cure="make it", now=at(5)
        )
        failed = lenses.by_id(db, lens.id)
        lenses.set_status(db, lens.id, LensStatus.READY, now=at(6))
        mended = lenses.by_id(db, lens.id)

    assert (failed.status, failed.error, failed.cure) == (LensStatus.ERROR, "no table", "make it")
    assert (mended.status, mended.error, mended.cure) == (LensStatus.READY, None, None)
    assert (failed.changed_at, mended.changed_at, mended.pushed_at) == (at(5), at(6), NOW)


def test_what_a_lens_needs_is_kept(registry: Registry, lens: Lens) -> None:
    with registry.begin() as db:
        lenses.set_needs(db, lens.id, Needs.REBUILD, at(1))

        assert lenses.get(db, "test", "items").needs is Needs.REBUILD


def test_lenses_are_listed_by_environment_and_name(registry: Registry) -> None:
    for env, name in [("test", "b"), ("test", "a"), ("other", "z")]:
        make_lens(registry, name, env=env)

    with registry.read() as db:
        assert [(x.env, x.name) for x in lenses.list_all(db)] == [
            ("other", "z"),
            ("test", "a"),
            ("test", "b"),
        ]
        assert [x.name for x in lenses.list_all(db, "test")] == ["a", "b"]


def test_a_lens_that_is_not_there_is_answered_with_those_that_are(
    registry: Registry, lens: Lens
) -> None:
    make_lens(registry, "orders")

    with (
        pytest.raises(NotFound, match=r"no lens 'itmes' in 'test' \(did you mean 'items'\?\)"),
        registry.read() as db,
    ):
        lenses.get(db, "test", "itmes")
    with pytest.raises(NotFound, match="items, orders"), registry.read() as db:
        lenses.get(db, "test", "quite-another")
    with pytest.raises(NotFound, match="no environment 'tset'"), registry.read() as db:
        lenses.get(db, "tset", "items")


def test_a_removed_lens_leaves_no_row_and_its_id_is_not_used_again(
    registry: Registry, lens: Lens
) -> None:
    # given: a lens with a row in every table, and a neighbour
    neighbour = make_lens(registry, "orders")
    for each in (lens, neighbour):
        queue(registry, each, Mode.FULL, f"job-{each.id}")
        generation = build(registry, each, bounds=("5",))
        with registry.begin() as db:
            marked_rows.mark(db, generation.id, Fault.VECTOR, ["1"])
            walks.note(db, generation.id, WALK)
            changes.append(db, each.id, [("1", Action.UPSERT)], NOW)
            cursors.put(db, each.id, "c", NOW)
            quiet.note(db, [each.id], Mode.SMART_SYNC, NOW)
            call_log.admit(db, each.id, calls=1, limit=10, now=NOW)
            failed_rows.record(db, each.id, {"1": ("mapping", "bad")}, job_id="j", now=NOW)
            page_done(db, f"job-{each.id}", NOW)

    # when
    with registry.begin() as db:
        before = _rows(db)
        lenses.remove(db, lens.id)
        after = _rows(db)
    with pytest.raises(NotFound, match="removed"), registry.read() as db:
        lenses.by_id(db, lens.id)
    with registry.begin() as db:
        lenses.remove(db, neighbour.id)
        nothing = _rows(db)

    # then
    assert set(before.values()) == {2, 4}
    assert all(after[name] == before[name] / 2 for name in before)
    assert set(nothing.values()) == {0}
    assert make_lens(registry, "items").id > neighbour.id


def _rows(db: object) -> dict[str, int]:
    apart = {"sl_environments", "sl_sources", "sl_feeds", "sl_api_keys"}
    apart |= {"sl_dropped_indexes", "sl_index_stamps"}  # by the names of indexes
    apart |= {"sl_alerts", "sl_heartbeats", "sl_sessions"}  # of environments, programs and keys
    apart |= {"sl_batches"}  # they outlive their lens, as they have still to be cancelled
    return {
        name: db.scalars(select(func.count()).select_from(table)).one()  # type: ignore[attr-defined]
        for name, table in tables.metadata.tables.items()
        if name not in apart
    }
