"""Where the seconds of a call go, and that the benchmark of it comes to its end."""

from __future__ import annotations

import pytest

from benchmarks.freshness import Size, measure, parts_of


def test_the_parts_of_a_call_are_all_of_its_time() -> None:
    marks = {"due": 12.0, "created": 12.5, "PIPELINE_STARTING": 13.0, "PROCESS": 14.5}
    marks |= {"PIPELINE_START": 15.0, "STEP_START": 15.1, "taken": 15.5, "page": 16.0, "done": 16.2}

    parts = parts_of(10.0, marks)

    assert list(parts) == [
        "debounce",
        "pick-up by sensor or nudge",
        "Dagster's queue",
        "process start, import of Dagster",
        "definitions",
        "Dagster's run and step",
        "import of the engine, job taken",
        "import of store and bridge, claim",
        "page: read, map, embed, write",
    ]
    assert sum(parts.values()) == pytest.approx(6.2)
    assert parts["process start, import of Dagster"] == pytest.approx(1.5)


def test_the_start_of_a_run_that_lingered_is_no_part() -> None:
    began = {"created": 1.0, "PIPELINE_STARTING": 2.0, "STEP_START": 4.0}
    marks = {"due": 12.0, "taken": 12.1, "page": 12.1, "done": 12.3} | began

    parts = parts_of(10.0, marks)

    assert sum(parts.values()) == pytest.approx(2.3)
    assert "Dagster's queue" not in parts


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_every_row_of_the_benchmark_can_be_found_at_its_end() -> None:
    results = measure(Size(lenses=1, warm=1, rows=20))

    assert not [result.name for result in results if result.wrong]
    whole = [result for result in results if result.target is not None]
    assert len(whole) == 4
