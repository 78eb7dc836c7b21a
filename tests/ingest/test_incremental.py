"""Incremental ingest misses no row, whatever the tracked column is and however it moves."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry.jobs import Mode
from tests.clock import Clock
from tests.ingest.commits import DRAWN, EPOCHS, LONGEST, TIMES, Application
from tests.lab import ENV, Lab
from tests.sources import SourceDatabase

AHEAD = timedelta(hours=2)
"""By how much the clocks of some writers are ahead at most."""

BEGINS = st.tuples(st.just("begin"), st.integers(0, 9), st.integers(0, LONGEST))
BEGINS_AHEAD = st.tuples(
    st.just("begin ahead"), st.integers(0, 9), st.sampled_from([60, 120, AHEAD.seconds])
)
OTHERS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 7, 29, 40]), st.just(0)),
    st.tuples(st.just("walk"), st.sampled_from([0, 0, 3]), st.just(0)),
    st.tuples(st.just("walk and die"), st.sampled_from([0, 3]), st.integers(0, 60)),
)
STEPS = st.lists(st.one_of(BEGINS, OTHERS), min_size=10, max_size=30)
STEPS_OF_TIMES = st.lists(st.one_of(BEGINS, BEGINS_AHEAD, OTHERS), min_size=10, max_size=30)


def steps_of(kind: str) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    """Return what may happen to a column; of times, a writer's clock may be wrong."""
    return STEPS_OF_TIMES if kind in (*TIMES, *EPOCHS) else STEPS


@contextmanager
def application(source: SourceDatabase, kind: str, folder: Path) -> Iterator[Application]:
    clock = Clock()
    project = Project(Settings.from_environ({"SEMILAYER_ENV": ENV}, folder), {}, clock)
    yield Application.over(source, kind, Lab(project, folder), clock)
    project.registry.close()


def play(app: Application, steps: list[tuple[str, int, int]]) -> None:
    for what, number, other in [*steps, ("wait", LONGEST, 0), ("walk", 0, 0)]:
        match what:
            case "begin":
                app.begin(number, other)
                app.commit()
            case "begin ahead":
                app.begin(number, 0, ahead=timedelta(seconds=other))
                app.commit()
            case "wait":
                app.wait(number)
            case "walk":
                app.walk(seconds_a_page=number)
            case "walk and die":
                app.walk(seconds_a_page=number, dies_at=other)


def some_steps(dice: random.Random, number: int) -> list[tuple[str, int, int]]:
    made: list[tuple[str, int, int]] = []
    for _ in range(number):
        match dice.choices(["begin", "wait", "walk", "walk and die"], [5, 3, 2, 1])[0]:
            case "begin":
                made.append(("begin", dice.randrange(10), dice.randrange(LONGEST + 1)))
            case "wait":
                made.append(("wait", dice.choice([1, 7, 29, 40]), 0))
            case walk:
                made.append((walk, dice.choice([0, 0, 3]), dice.randrange(60)))
    return made


def check(kind: str, steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for source in SourceDatabase.opened("sqlite", f"sqlite:///{folder}/source.db"):
            with application(source, kind, Path(folder)) as app:
                play(app, steps)


UNTIMED = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", ["ISO text", "number"])
def test_no_row_is_missed_however_commits_overlap(kind: str) -> None:
    @settings(UNTIMED, max_examples=3)
    @given(steps=steps_of(kind))
    def holds(steps: list[tuple[str, int, int]]) -> None:
        check(kind, steps)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWN)
def test_no_row_is_missed_however_commits_overlap_at_length(kind: str) -> None:
    @settings(UNTIMED, max_examples=150)
    @given(steps=steps_of(kind))
    def holds(steps: list[tuple[str, int, int]]) -> None:
        check(kind, steps)

    holds()


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "zoned time" else pytest.param(kind, marks=pytest.mark.slow)
        for kind in DRAWN
    ],
)
def test_no_row_is_missed_in_any_database(
    source: SourceDatabase, kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    with application(source, kind, folder) as app:
        play(app, some_steps(random.Random(kind), 25))


def write_at(app: Application, id: int, *, ahead: timedelta = timedelta(0)) -> None:
    app.begin(id, 0, ahead=ahead)
    app.commit()


@pytest.mark.parametrize("indexed_by", ["the first ingest", "a walk"])
@pytest.mark.parametrize(
    ("kind", "ahead"),
    [
        *((kind, AHEAD) for kind in (*TIMES, *EPOCHS)),
        *((kind, timedelta(days=3_650)) for kind in TIMES),
    ],
)
def test_a_time_ahead_of_the_clock_hides_no_later_change(
    kind: str, indexed_by: str, ahead: timedelta, tmp_path: Path
) -> None:
    for source in SourceDatabase.opened("sqlite", f"sqlite:///{tmp_path}/source.db"):
        with application(source, kind, tmp_path) as app:
            # given a row from a writer whose clock is wrong, at which the cursor stands
            write_at(app, 1, ahead=ahead)
            if indexed_by == "a walk":
                app.lab.run(app.lab.request(Mode.INCREMENTAL))
            else:
                app.lab.full()

            # when another writer changes a row, and a walk comes long after that
            for id in (2, 3):
                app.wait(3_600)
                write_at(app, id)
                app.wait(3_600)
                app.lab.run(app.lab.request(Mode.INCREMENTAL))

                # then the row was not passed by
                assert app.lab.index.get(str(id)) is not None


@pytest.mark.parametrize("kind", ["time", "zoned time", "ISO text", *EPOCHS])
def test_a_time_that_the_clock_has_come_to_hides_no_earlier_change(
    kind: str, tmp_path: Path
) -> None:
    for source in SourceDatabase.opened("sqlite", f"sqlite:///{tmp_path}/source.db"):
        with application(source, kind, tmp_path) as app:
            # given a row from a writer whose clock is wrong, which several walks have seen
            write_at(app, 1, ahead=AHEAD)
            for _ in range(3):
                app.wait(60)
                app.walk()

            # when another writer changes a row, and no walk comes until that time is over
            app.wait(3_600)
            write_at(app, 2)
            app.wait(2 * AHEAD.seconds)

            # then it is found
            app.walk()
