from __future__ import annotations

from datetime import timedelta

from semilayer_pipelines.registry import cursors
from semilayer_pipelines.registry.cursors import IncrementalCursor
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, make_lens


def test_a_cursor_is_kept_for_each_lens_until_it_is_removed(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "orders")

    with registry.begin() as db:
        assert cursors.get(db, lens.id) is None
        cursors.begin(db, lens.id, "h", settled="s", seen_at=at(-9), now=NOW)
        cursors.put(db, other.id, "z", NOW)
        assert cursors.get(db, lens.id) == IncrementalCursor(None, "h", NOW, "s", "h", at(-9))

        cursors.put(db, lens.id, "[1,2]", at(5))
        assert cursors.get(db, lens.id) == IncrementalCursor("[1,2]", None, at(5), "s", "h", at(-9))

        cursors.remove(db, lens.id)
        assert cursors.get(db, lens.id) is None
        assert cursors.get(db, other.id) == IncrementalCursor("z", None, NOW)


def test_what_was_seen_is_settled_once_whoever_was_at_work_then_has_committed(
    registry: Registry, lens: Lens
) -> None:
    half_a_minute = timedelta(seconds=30)
    told: list[tuple[str | None, str | None]] = []

    with registry.begin() as db:
        cursors.put(db, lens.id, "c", NOW)
        for seconds in (0, 10, 29, 31, 90, 100):
            cursors.completed(db, lens.id, f"v{seconds}", began=at(seconds), open_for=half_a_minute)
            now = cursors.get(db, lens.id)
            assert now is not None
            told.append((now.settled, now.seen))

    assert told == [
        (None, "v0"),
        (None, "v0"),
        (None, "v0"),
        ("v0", "v31"),
        ("v31", "v90"),
        ("v31", "v90"),
    ]
