"""A schedule notes that a lens has nothing to read, so that its index does not seem to age."""

from __future__ import annotations

from semilayer_pipelines.registry import lenses, quiet
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import at, make_lens


def test_the_last_note_of_the_modes_that_are_asked_for_counts(
    registry: Registry, lens: Lens
) -> None:
    with registry.begin() as db:
        quiet.note(db, [lens.id], Mode.SMART_SYNC, at(1))
        quiet.note(db, [lens.id], Mode.INCREMENTAL, at(2))
        quiet.note(db, [lens.id], Mode.INCREMENTAL, at(3))

    with registry.read() as db:
        assert quiet.last(db, lens.id, [Mode.SMART_SYNC]) == at(1)
        assert quiet.last(db, lens.id, [Mode.SMART_SYNC, Mode.INCREMENTAL]) == at(3)
        assert quiet.last(db, lens.id, [Mode.FULL]) is None
        assert quiet.of_env(db, lens.env, [Mode.SMART_SYNC]) == {lens.id: at(1)}
        assert quiet.of_env(db, "production", [Mode.SMART_SYNC]) == {}


def test_a_lens_that_was_removed_meanwhile_keeps_no_other_from_being_noted(
    registry: Registry, lens: Lens
) -> None:
    gone = make_lens(registry, "gone")
    with registry.begin() as db:
        lenses.remove(db, gone.id)

    with registry.begin() as db:
        quiet.note(db, [gone.id, lens.id], Mode.SMART_SYNC, at(1))

    with registry.read() as db:
        assert quiet.last(db, lens.id, [Mode.SMART_SYNC]) == at(1)
        assert quiet.last(db, gone.id, [Mode.SMART_SYNC]) is None
