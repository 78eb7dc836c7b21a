"""What a source tells is buffered once, with the position, before the source may forget it."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.environments import delete_environment
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.follow import follower as follower_module
from semilayer_pipelines.follow import kinds
from semilayer_pipelines.follow.buffer import for_lenses
from semilayer_pipelines.follow.follower import Follower
from semilayer_pipelines.follow.installed import forget
from semilayer_pipelines.ingest import lease
from semilayer_pipelines.registry import feeds, jobs, lenses
from semilayer_pipelines.registry.feeds import FeedRow
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.beside import beside
from tests.clock import Clock
from tests.follow.site import SILENCE, Site
from tests.follow.worker import work as follow
from tests.ingest.test_kill import give_up_on_the_dead, kill_after, start
from tests.lab import ENV
from tests.patience import PATIENCE_SECONDS, eventually
from tests.processes import Child


def followed_from_here(site: Site, changes: int = 0) -> None:
    """Let the follower look first, tell so many changes, and do the sync that it asks for."""
    with site.followed():
        eventually(lambda: site.syncs() == 1)
        site.until_told(changes)
    site.do_syncs()


def test_changes_reach_the_index_with_their_deletes_and_moved_keys(site: Site) -> None:
    followed_from_here(site)
    with site.followed():
        site.db.execute("UPDATE items SET name = 'new' WHERE id <= 2")
        site.db.execute("DELETE FROM items WHERE id = 3")
        site.db.execute("UPDATE items SET id = 40 WHERE id = 4")
        site.until_told(5)

    assert site.told() == [
        ("1", "upsert"),
        ("2", "upsert"),
        ("3", "delete"),
        ("4", "delete"),
        ("40", "upsert"),
    ]
    site.lab.apply_all()
    assert site.lab.audit().clean
    assert site.syncs() == 0
    assert site.feed().changes == 5


def test_the_first_look_and_a_truncate_queue_a_smart_sync(site: Site) -> None:
    with site.followed():
        eventually(lambda: site.syncs() == 1)
        site.do_syncs()
        site.db.execute("TRUNCATE items")
        eventually(lambda: site.syncs() == 1)
    assert site.told() == []


def test_the_server_is_told_of_a_position_only_after_the_registry_has_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed_from_here(site)
    asked = looked_up(monkeypatch)
    with site.followed():
        site.db.execute("UPDATE items SET name = 'first' WHERE id = 1")
        site.until_told(1)
        eventually(lambda: site.confirmed() == site.read_to())
        before = site.confirmed()

        # When nobody can write to the registry, and a change was read
        registry = sqlite3.connect(site.lab.folder / ".semilayer/registry.db")
        registry.execute("BEGIN IMMEDIATE")
        site.db.execute("UPDATE items SET name = 'second' WHERE id = 2")
        eventually(lambda: asked.count(1) == 2)
        time.sleep(0.3)  # as much as a position would be told in
        held = site.confirmed()
        registry.rollback()
        registry.close()

        site.until_told(2)
        eventually(lambda: site.confirmed() == site.read_to() > before)
    assert held == before
    assert site.told() == [("1", "upsert"), ("2", "upsert")]


def looked_up(monkeypatch: pytest.MonkeyPatch, during: Callable[[int], object] = bool) -> list[int]:
    """Return how many changes each batch had that was looked up so far; do `during` of each."""
    asked: list[int] = []

    def noting(*given: Any) -> Any:
        asked.append(len(given[0].changes))
        during(asked[-1])
        return for_lenses(*given)

    monkeypatch.setattr(follower_module, "for_lenses", noting)
    return asked


def test_of_two_followers_one_stands_by_and_goes_on_when_the_other_ends(site: Site) -> None:
    followed_from_here(site)
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(site.followed())
        eventually(lambda: site.feed().lease)
        second.enter_context(site.followed())
        for turn in range(10):
            site.db.execute("UPDATE items SET other = %s WHERE id = %s", (turn, turn + 1))
        site.until_told(10)
        first.close()
        site.db.execute("UPDATE items SET other = 99 WHERE id = 20")
        site.until_told(11)
    assert [key for key, _ in site.told()] == [*map(str, range(1, 11)), "20"]


def test_a_batch_that_takes_longer_than_the_lease_is_not_done_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a follower that looks a change up, and another one that stands by
    followed_from_here(site)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.02)
    clock = Clock(site.lab.project.clock())
    project = replace(site.lab.project, clock=clock)
    go_on, refused, take = threading.Event(), list[datetime](), feeds.take

    def taking(db: Connection, feed: FeedRow, lease: str, now: datetime, **silence: Any) -> Any:
        taken = take(db, feed, lease, now, **silence)
        if taken is None:
            refused.append(now)
        return taken

    monkeypatch.setattr(feeds, "take", taking)
    asked = looked_up(monkeypatch, lambda changes: changes == 0 or go_on.wait(PATIENCE_SECONDS))
    with site.followed(project):
        site.db.execute("UPDATE items SET name = 'new' WHERE id = 1")
        eventually(lambda: 1 in asked)
        with site.followed(project):
            # when that takes three times as long as a silent one keeps the lease
            for _ in range(6):
                clock.go_on(SILENCE.total_seconds() / 2)
                eventually(lambda: site.feed().lease_at == clock.now)
                eventually(lambda: clock.now in refused)
            go_on.set()
            site.until_told(1)

    # then the other one was never let in
    assert asked.count(1) == 1
    assert site.told() == [("1", "upsert")]


def test_a_table_that_is_away_when_following_begins_is_followed_when_it_is_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed_from_here(site)
    monkeypatch.setattr(follower_module, "AWAY_SECONDS", 0.2)
    site.db.execute("ALTER TABLE items RENAME TO aside")
    before = site.feed().lag_at
    with site.followed():
        eventually(lambda: site.feed().lag_at != before)
        site.db.execute("ALTER TABLE aside RENAME TO items")
        eventually(lambda: site.syncs() == 1)
        site.db.execute("UPDATE items SET name = 'new' WHERE id = 1")
        site.until_told(1)
    assert site.told() == [("1", "upsert")]


def test_a_lens_whose_joined_table_is_away_is_followed_when_that_is_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two lenses over one table, of which one joins another table
    monkeypatch.setattr(follower_module, "AWAY_SECONDS", 0.2)
    site.db.execute("CREATE TABLE shops (id int PRIMARY KEY, name text)")
    text = {"type": "text", "searchable": True}
    plain = {"source": "main", "table": "items", "embedding": {"provider": "hash"}}
    shown = {"name": text, "shop": text | {"from": "shop.name"}}
    joins = {"shop": {"table": "shops", "on": {"other": "id"}}}
    project = site.lab.project
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {
                "main": {"bridge": "sql", "connection": site.lab.connection, **site.lab.cdc}
            },
            "lenses": {
                "items": {**plain, "fields": {"name": text}},
                "showing": {**plain, "fields": shown, "joins": joins},
            },
        }
    )
    apply_push(project, plan_push(project, config, ENV))
    site.install()
    site.lab.run(lifecycle.request_rebuild(project, ENV, "showing"))
    followed_from_here(site)
    with project.registry.read() as db:
        showing = lenses.get(db, ENV, "showing")
        (first,) = jobs.queued(db, showing.id)
    site.lab.run(first)

    # When following begins while the joined table is swapped
    site.db.execute("ALTER TABLE shops RENAME TO aside")
    with site.followed():
        site.db.execute("UPDATE items SET name = 'new' WHERE id = 1")
        site.until_told(1)
        site.db.execute("ALTER TABLE aside RENAME TO shops")

        # Then that lens gets a sync for what it missed, the other one none, and both are told
        eventually(lambda: queued_modes(site, showing) == [Mode.SMART_SYNC])
        site.db.execute("UPDATE items SET name = 'newer' WHERE id = 2")
        site.until_told(2)
    assert site.told("showing") == [("2", "upsert")]
    assert site.syncs() == 0


def queued_modes(site: Site, lens: Lens) -> list[Mode]:
    with site.lab.project.registry.read() as db:
        return [job.mode for job in jobs.queued(db, lens.id)]


def test_a_lens_that_is_pushed_while_its_source_is_followed_misses_nothing(site: Site) -> None:
    followed_from_here(site)
    before = site.feed().lag_at
    with site.followed():
        eventually(lambda: site.feed().lag_at != before)
        site.push("others")
        with site.lab.project.registry.read() as db:
            assert feeds.readership(db, site.lab.lens.env_id, "main").indexed == {site.lab.lens.id}
        job = lifecycle.request_rebuild(site.lab.project, ENV, "others")
        site.lab.run(job)
        site.db.execute("UPDATE items SET name = 'new' WHERE id = 1")
        eventually(lambda: site.told("others"))
    assert site.told("others") == site.told() == [("1", "upsert")]


def test_a_lens_that_has_no_index_gets_no_changes(site: Site) -> None:
    followed_from_here(site)
    site.push("others")
    with site.followed():
        site.db.execute("UPDATE items SET name = 'new' WHERE id = 1")
        site.until_told(1)
    assert site.told() == [("1", "upsert")]
    assert site.told("others") == []


def test_what_is_not_installed_is_told_and_followed_as_soon_as_it_is(site: Site) -> None:
    site.uninstall()
    with site.followed():
        eventually(lambda: site.feed().trouble)
        assert "there is no publication" in str(site.feed().trouble)
        assert site.feed().cure == "Run `semilayer cdc install`."
        site.install()
        eventually(lambda: site.feed().position)
    assert site.feed().trouble is None


def test_a_change_of_a_joined_row_reaches_the_rows_that_show_it(site: Site) -> None:
    # Given rows that show a name of another table
    site.db.execute("CREATE TABLE shops (id int PRIMARY KEY, name text)")
    site.db.execute("INSERT INTO shops VALUES (1, 'near'), (2, 'far')")
    site.db.execute("UPDATE items SET other = 1 + id % 2 WHERE id <= 4")
    text = {"type": "text", "searchable": True}
    joins = {"shop": {"table": "shops", "on": {"other": "id"}}}
    site.lab.push(fields={"name": text, "shop": text | {"from": "shop.name"}}, joins=joins)
    site.install()
    site.lab.full()
    followed_from_here(site, changes=4)
    site.lab.apply_all()
    before = len(site.told())

    # When a joined row changes, is gone, and all are
    with site.followed():
        site.db.execute("UPDATE shops SET name = 'nearer' WHERE id = 1")
        site.until_told(before + 2)
        site.db.execute("DELETE FROM shops WHERE id = 2")
        site.until_told(before + 4)
        site.db.execute("TRUNCATE shops")
        eventually(lambda: site.syncs() == 1)

    # Then the rows that joined them are written again
    assert site.told()[before:] == [(key, "upsert") for key in ("2", "4", "1", "3")]
    site.do_syncs()
    site.lab.apply_all()
    assert site.lab.audit().clean


def test_an_error_that_nobody_expected_is_told_and_following_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    followed_from_here(site)
    opened = kinds.open_feed
    faults = iter([ZeroDivisionError("a fault of ours")])

    def open_feed(*given: Any) -> Any:
        for fault in faults:
            raise fault
        return opened(*given)

    monkeypatch.setattr(follower_module, "open_feed", open_feed)
    with caplog.at_level("INFO"), site.followed():
        site.db.execute("UPDATE items SET name = 'new' WHERE id = 1")
        site.until_told(1)

    assert "This is a fault in semilayer-pipelines" in caplog.text
    assert site.told() == [("1", "upsert")]


def test_a_debounce_of_nothing_makes_the_job_due_at_once(site: Site) -> None:
    site.push(debounce="0")
    followed_from_here(site)
    with site.followed():
        site.db.execute("UPDATE items SET name = 'new' WHERE id = 1")
        eventually(lambda: site.told())

    [job] = [job for job in site.queued() if job.mode is Mode.RECORDS]
    assert job.due_at == job.created_at


def writing(db: psycopg.Connection, chance: random.Random) -> None:
    """Write one transaction of a few changes, some with keys that move."""
    with db.transaction():
        for _ in range(chance.randint(1, 5)):
            id, other = chance.randrange(1, 200), chance.randrange(1, 200)
            match chance.choice(["write", "write", "delete", "move"]):
                case "write":
                    db.execute(
                        "INSERT INTO items VALUES (%(id)s, %(name)s) "
                        "ON CONFLICT (id) DO UPDATE SET name = %(name)s",
                        {"id": id, "name": f"name {chance.getrandbits(40)}"},
                    )
                case "delete":
                    db.execute("DELETE FROM items WHERE id = %s", (id,))
                case "move":
                    db.execute("DELETE FROM items WHERE id = %s", (other,))
                    db.execute("UPDATE items SET id = %s WHERE id = %s", (other, id))


@pytest.mark.parametrize(("kills", "seed"), [(3, 1), pytest.param(50, 2, marks=pytest.mark.slow)])
def test_killed_again_and_again_under_load_nothing_is_lost_and_nothing_doubled(
    site: Site, kills: int, seed: int
) -> None:
    # Given a table that is written to all the time
    followed_from_here(site)
    chance = random.Random(seed)
    writer = random.Random(seed + 1)

    # When the follower is killed at random moments, and so are runs
    with (
        psycopg.connect(str(site.lab.connection), autocommit=True) as db,
        beside(lambda: writing(db, writer), pause=0.01),
    ):
        for turn in range(kills):
            follower = Child(follow, site.lab.folder)
            if turn % 2:
                read_something(site)
            time.sleep(chance.uniform(0, 0.6))
            follower.kill()
            if turn % 3 == 2:
                kill_a_run(site, chance)

    # Then a last one brings the rest, and the index is the table
    with site.followed():
        site.caught_up()
    give_up_on_the_dead(site.lab)
    site.lab.apply_all()
    assert site.feed().changes > 0
    assert site.feed().restarts == 0
    assert site.lab.audit().clean


def read_something(site: Site) -> None:
    before = site.feed().changes
    eventually(lambda: site.feed().changes > before)


def kill_a_run(site: Site, chance: random.Random) -> None:
    kill_after(start(site.lab, Mode.RECORDS), chance.uniform(0, 0.3))
    give_up_on_the_dead(site.lab)


def test_the_follower_of_an_environment_that_is_removed_gives_its_place_back(site: Site) -> None:
    # given a follower that waits for its feed to be installed again
    project = site.lab.project
    row = site.feed()
    site.uninstall()
    forget(project, row)
    follower = Follower(project, ENV, "main", threading.Event(), silence=SILENCE)
    thread = threading.Thread(target=follower.run, daemon=True)
    thread.start()

    delete_environment(project, ENV)

    eventually(lambda: not thread.is_alive())
    site.push()  # there is nothing to tidy up otherwise
