"""Rollback: the index that a rebuild replaced serves again, and is brought in sync."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.control.rollback import RolledBack, rollback
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.retention import KEEP_RETIRED, tidy
from semilayer_pipelines.queries.as_of import as_of as queries_as_of
from semilayer_pipelines.queries.state import WALKS
from semilayer_pipelines.registry import cursors, generations, quiet
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.lab import ENV, Lab


def serving(lab: Lab) -> int:
    with lab.project.registry.read() as db:
        active = generations.active(db, lab.lens.id)
    assert active is not None
    return active.number


@pytest.fixture
def rebuilt(tmp_path: Path) -> Lab:
    """A lens whose index was rebuilt, and whose source moved on since."""
    lab = Lab.at(tmp_path, rows=200)
    lab.full()
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new' WHERE id <= 5")
        db.execute("DELETE FROM items WHERE id = 6")
    lab.sync()
    assert serving(lab) == 2
    return lab


def assert_needs(lab: Lab, needs: Needs) -> None:
    assert lab.lens.needs is needs


def test_the_replaced_index_serves_again_and_a_sync_brings_it_in_line(rebuilt: Lab) -> None:
    done = rollback(rebuilt.project, ENV, "items")

    assert (done.before.number, done.now.number, serving(rebuilt)) == (2, 1, 1)
    assert not rebuilt.audit().clean
    assert_needs(rebuilt, Needs.SMART_SYNC)
    rebuilt.run(done.sync)
    assert rebuilt.audit().clean
    assert_needs(rebuilt, Needs.NOTHING)


def test_a_rollback_can_be_taken_back(rebuilt: Lab) -> None:
    rebuilt.run(rollback(rebuilt.project, ENV, "items").sync)

    rebuilt.run(rollback(rebuilt.project, ENV, "items").sync)

    assert serving(rebuilt) == 2
    assert rebuilt.audit().clean


def test_an_index_that_is_gone_back_to_is_as_old_as_it_is(rebuilt: Lab) -> None:
    # given walks of the newer index, and a tick that found nothing to read after them
    def as_of() -> datetime | None:
        with rebuilt.project.registry.read() as db:
            return queries_as_of(db, rebuilt.lens.id, WALKS)

    rebuilt.run(rebuilt.request(Mode.INCREMENTAL))
    now = rebuilt.project.clock()
    with rebuilt.project.registry.begin() as db:
        quiet.note(db, [rebuilt.lens.id], Mode.INCREMENTAL, now)
    assert as_of() == now

    # then the older index has nothing of what they read, and has it after its sync
    done = rollback(rebuilt.project, ENV, "items")
    assert as_of() == done.now.created_at
    rebuilt.run(done.sync)
    after = as_of()
    assert after is not None
    assert after > now

    # and the newer index, once it serves again, is as old as it was
    rollback(rebuilt.project, ENV, "items")
    assert as_of() == now


def test_incremental_ingest_goes_back_with_the_index(rebuilt: Lab) -> None:
    # given an index whose row 7 came by incremental ingest
    with rebuilt.source() as db:
        db.execute("UPDATE items SET name = 'late', updated_at = '2024-09-09' WHERE id = 7")
    rebuilt.run(rebuilt.request(Mode.INCREMENTAL))
    assert (rebuilt.index.get("7") or {})["name"] == "late"

    # when the index before it serves again
    rollback(rebuilt.project, ENV, "items")
    assert (rebuilt.index.get("7") or {})["name"] != "late"
    rebuilt.run(rebuilt.request(Mode.INCREMENTAL))

    # then row 7 is not taken for one that was seen
    assert (rebuilt.index.get("7") or {})["name"] == "late"


def test_a_sync_that_ends_while_the_index_goes_back_does_not_pass_for_its_sync(
    tmp_path: Path,
) -> None:
    # given a sync of a rebuilt index in its last page
    lab = Lab.at(tmp_path, rows=200)
    lab.full()
    lab.full()
    done: list[RolledBack] = []

    def go_back(_: PageDone) -> None:
        done.append(rollback(lab.project, ENV, "items"))

    # when the index goes back
    lab.sync(report=go_back)

    # then the older one still needs its own
    assert_needs(lab, Needs.SMART_SYNC)
    lab.run(done[0].sync)
    assert_needs(lab, Needs.NOTHING)


def test_a_rebuild_that_runs_is_told_and_takes_the_place_of_the_older_index(rebuilt: Lab) -> None:
    # given a rebuild in its last page
    done: list[RolledBack] = []

    def go_back(_: PageDone) -> None:
        done.append(rollback(rebuilt.project, ENV, "items"))

    # when the index goes back meanwhile
    outcome = rebuilt.full(report=go_back)

    # then the answer names the rebuild, which serves once it is done
    (told,) = done
    assert (told.before.number, told.now.number) == (2, 1)
    assert told.rebuild is not None
    assert (told.rebuild.id, told.rebuild.mode) == (outcome.job_id, Mode.FULL)
    assert serving(rebuilt) == 3
    assert rebuilt.audit().clean


def test_a_lens_that_was_never_rebuilt_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=10)
    lab.full()

    with pytest.raises(Refused, match="No earlier index"):
        rollback(lab.project, ENV, "items")
    assert serving(lab) == 1


def test_what_was_dropped_after_its_time_is_not_gone_back_to(rebuilt: Lab) -> None:
    later = rebuilt.project.clock() + KEEP_RETIRED + timedelta(seconds=1)
    project = replace(rebuilt.project, clock=lambda: later)
    with pytest.raises(Refused, match="No earlier index"):
        rollback(project, ENV, "items")

    assert tidy(project).indexes
    assert serving(rebuilt) == 2
    assert rebuilt.audit().clean


def test_an_index_of_another_configuration_is_kept_in_step_by_its_own(tmp_path: Path) -> None:
    # given a lens that was rebuilt for a field more
    lab = Lab.at(tmp_path, rows=50, fields={"name": {"type": "text", "searchable": True}})
    lab.full()
    fields = {"name": {"type": "text", "searchable": True}, "price": {"type": "number"}}
    lab.push(fields=fields)
    lab.full()

    # when it goes back, and a row changes
    done = rollback(lab.project, ENV, "items")
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new' WHERE id = 5")
    lab.run(done.sync)

    # then the older index follows, and the lens still needs its rebuild
    assert (done.needs, lab.lens.needs) == (Needs.REBUILD, Needs.REBUILD)
    assert (lab.index.get("5") or {})["name"] == "new"
    assert "price" not in (lab.index.get("5") or {})
    lab.full()
    assert lab.audit().clean
    assert lab.lens.needs is Needs.NOTHING


def test_a_cursor_of_another_column_does_not_go_back_with_the_index(tmp_path: Path) -> None:
    # given a lens that tracks another column since its index was built
    lab = Lab.at(tmp_path, rows=50, changeTrackingColumn="updated_at")
    lab.full()
    lab.push(changeTrackingColumn="id")
    lab.full()

    # when
    done = rollback(lab.project, ENV, "items")

    # then the walk begins anew
    with lab.project.registry.read() as db:
        assert cursors.get(db, lab.lens.id) is None
    lab.run(done.sync)
    with lab.source() as db:
        db.execute(
            "INSERT INTO items SELECT 51, name, description, price, category, updated_at"
            " FROM items WHERE id = 50"
        )
    lab.run(lab.request(Mode.INCREMENTAL))
    assert lab.audit().clean


def test_the_command_says_what_serves_and_what_follows(tmp_path: Path) -> None:
    # given
    folder = Folder.at(tmp_path, rows=20)
    for command in (["push"], ["resume"], ["push", "--rebuild", "--skip-confirmation-dangerously"]):
        assert folder.run(*command).exit_code == 0
        run_queued(folder)

    # when
    done = folder.run("rollback", "--lens", "items")

    # then
    assert done.exit_code == 0, done.output
    assert "generation 1 serves again; generation 2 is kept until" in done.stdout
    assert "A rebuild is" not in done.stdout
    run_queued(folder)
    assert folder.run("verify").exit_code == 0
    again = folder.json("rollback", "--lens", "items")
    assert (again["now"], again["rebuild"]) == (2, None)


def test_the_command_says_that_a_queued_rebuild_takes_the_place_again(tmp_path: Path) -> None:
    # given a lens that was rebuilt, and is to be rebuilt once more
    folder = Folder.at(tmp_path, rows=20)
    rebuild = ["push", "--rebuild", "--skip-confirmation-dangerously"]
    for command in (["push"], ["resume"], rebuild):
        assert folder.run(*command).exit_code == 0
        run_queued(folder)
    (queued,) = folder.json(*rebuild)["jobs"]

    # when
    done = folder.run("rollback", "--lens", "items")
    told = folder.json("rollback", "--lens", "items")

    # then
    assert done.exit_code == 0, done.output
    assert f"A rebuild is queued (job {queued['id'][:8]}), and its index takes the place" in (
        " ".join(done.stdout.split())
    )
    assert told["rebuild"] == queued["id"]
