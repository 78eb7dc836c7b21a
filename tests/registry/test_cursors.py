from __future__ import annotations

from semilayer_pipelines.registry import cursors
from semilayer_pipelines.registry.cursors import IncrementalCursor
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, make_lens


def test_a_cursor_is_kept_for_each_lens_until_it_is_removed(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "orders")

    with registry.begin() as db:
        assert cursors.get(db, lens.id) is None
        cursors.put(db, lens.id, cursor=None, high_water="2025-01-01", now=NOW)
        cursors.put(db, other.id, cursor="z", high_water=None, now=NOW)
        assert cursors.get(db, lens.id) == IncrementalCursor(None, "2025-01-01", NOW)

        cursors.put(db, lens.id, cursor="[1,2]", high_water=None, now=at(5))
        assert cursors.get(db, lens.id) == IncrementalCursor("[1,2]", None, at(5))

        cursors.remove(db, lens.id)
        assert cursors.get(db, lens.id) is None
        assert cursors.get(db, other.id) == IncrementalCursor("z", None, NOW)
