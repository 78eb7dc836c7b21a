"""What a rebuild is said to take is what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.queries.rebuild_price import rebuild_price
from tests.lab import ENV, Lab


@pytest.mark.parametrize(("rebuild", "embedded"), [("shadow", 0), ("in_place", 20)])
def test_a_rebuild_embeds_as_many_texts_as_its_price_says(
    tmp_path: Path, rebuild: str, embedded: int
) -> None:
    # given an index whose model and texts are as they were
    lab = Lab.at(tmp_path, rows=20)
    lab.push(rebuild=rebuild)
    lab.full()

    # when its price is asked for, and it is rebuilt
    price = rebuild_price(lab.project, ENV, lab.name)
    counts = lab.full().counts

    # then an index that is dropped first has no vectors to take over
    assert price.texts == counts.embedded == embedded
    assert price.reuses is (counts.reused == 20)
    assert price.gap is (rebuild == "in_place")
