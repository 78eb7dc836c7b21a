from __future__ import annotations

import pytest

from semilayer_pipelines.registry import generations, marked_rows, store_watch
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.marked_rows import Fault
from semilayer_pipelines.registry.store_watch import LostToSearch, Seen
from tests.registry.given import at, build


@pytest.fixture
def generation(registry: Registry, lens: Lens) -> Generation:
    made = build(registry, lens)
    with registry.begin() as db:
        generations.publish(db, made.id, at(1))
    return made


def test_marks_are_kept_by_fault_until_they_are_cleared(
    registry: Registry, generation: Generation
) -> None:
    with registry.begin() as db:
        marked_rows.mark(db, generation.id, Fault.HIDDEN, ["2", "1"])
        marked_rows.mark(db, generation.id, Fault.HIDDEN, ["2", "3"])
        marked_rows.mark(db, generation.id, Fault.VECTOR, ["2"])
        marked_rows.mark(db, generation.id, Fault.FIELDS, [])

        assert marked_rows.keys(db, generation.id, [Fault.HIDDEN]) == ["1", "2", "3"]
        assert marked_rows.keys(db, generation.id, [Fault.HIDDEN], 2) == ["1", "2"]
        assert marked_rows.keys(db, generation.id, list(Fault)) == ["1", "2", "3"]

        marked_rows.clear(db, generation.id, [Fault.HIDDEN], ["2", "3"])
        marked_rows.clear(db, generation.id, [Fault.VECTOR], [])
        assert marked_rows.keys(db, generation.id, [Fault.HIDDEN]) == ["1"]
        assert marked_rows.keys(db, generation.id, [Fault.VECTOR]) == ["2"]


def test_marks_go_with_their_generation(registry: Registry, generation: Generation) -> None:
    with registry.begin() as db:
        marked_rows.mark(db, generation.id, Fault.HIDDEN, ["1"])
        generations.forget(db, generation.id)

        assert marked_rows.keys(db, generation.id, list(Fault)) == []


def test_a_start_that_was_seen_is_kept_with_the_generation(
    registry: Registry, generation: Generation
) -> None:
    with registry.begin() as db:
        assert generations.watched(db) == []
        store_watch.note(db, generation.id, Seen("start 1", at(5)))

        [watched] = generations.watched(db)
    assert (watched.incarnation, watched.watched_at) == ("start 1", at(5))


def test_rows_that_were_recovered_are_hidden_no_more(
    registry: Registry, generation: Generation
) -> None:
    with registry.begin() as db:
        assert store_watch.lost_to_search(db) == LostToSearch(0, 0)
        store_watch.note_hidden(db, generation.id, 10)
        store_watch.note_recovered(db, generation.id, 4)
        assert store_watch.lost_to_search(db) == LostToSearch(known=6, recovered=4)

        # more than were known of, as after a crash since
        store_watch.note_recovered(db, generation.id, 20)
        assert store_watch.lost_to_search(db) == LostToSearch(known=0, recovered=24)

        # and an index that is out of use tells nothing
        generations.retire(db, generation.id, at(9))
        assert store_watch.lost_to_search(db) == LostToSearch(0, 0)
