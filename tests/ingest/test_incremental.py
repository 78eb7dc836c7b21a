"""Incremental ingest misses no row, whatever the tracked column is and however it moves."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semilayer_pipelines.project import Project, Settings
from tests.clock import Clock
from tests.ingest.commits import DRAWN, LONGEST, Application
from tests.lab import ENV, Lab
from tests.sources import SourceDatabase

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 9), st.integers(0, LONGEST)),
        st.tuples(st.just("wait"), st.sampled_from([1, 7, 29, 40]), st.just(0)),
        st.tuples(st.just("walk"), st.sampled_from([0, 0, 3]), st.just(0)),
        st.tuples(st.just("walk and die"), st.sampled_from([0, 3]), st.integers(0, 60)),
    ),
    min_size=10,
    max_size=30,
)


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


UNTIMED = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.parametrize("kind", ["ISO text", "number"])
def test_no_row_is_missed_however_commits_overlap(kind: str) -> None:
    @settings(max_examples=3, **UNTIMED)
    @given(steps=STEPS)
    def holds(steps: list[tuple[str, int, int]]) -> None:
        check(kind, steps)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWN)
def test_no_row_is_missed_however_commits_overlap_at_length(kind: str) -> None:
    @settings(max_examples=150, **UNTIMED)
    @given(steps=STEPS)
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
