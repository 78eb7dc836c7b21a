"""That the benchmark of fairness comes to its end, with every job done."""

from __future__ import annotations

import pytest

from benchmarks import fairness
from benchmarks.fairness import Size, measure


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_every_job_of_the_benchmark_is_done_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "_WARM_UP_SECONDS", 5.0)

    results = measure(Size(chatty=2, quiet=1, shards=3, many=3, rows=20))

    assert not [result.name for result in results if result.wrong]
    assert len(results) == 3
