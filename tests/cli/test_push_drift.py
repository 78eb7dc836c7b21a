"""A push stops before it undoes what was changed elsewhere."""

from __future__ import annotations

import pytest

from semilayer_pipelines.control.patch import change_lens
from tests.cli.project import Folder
from tests.cli.test_push import answer
from tests.patience import PATIENCE_SECONDS

ENV = "development"


@pytest.fixture
def drifted(folder: Folder) -> Folder:
    """A folder whose lens was pushed and then changed through the API."""
    folder.run("push")
    change_lens(folder.project, ENV, "items", {"guard": 0.5}, origin="api")
    return folder


def guard(folder: Folder) -> float:
    from semilayer_pipelines.registry import lenses

    with folder.project.registry.read() as db:
        return lenses.get(db, ENV, "items").config.guard


def test_where_nobody_can_be_asked_the_push_stops_with_the_diff_and_the_ways_on(
    drifted: Folder,
) -> None:
    stopped = drifted.run("push")

    assert stopped.exit_code == 3
    for said in ("items  by api, just now", "- guard: 0.3", "+ guard: 0.5", "--force"):
        assert said in stopped.stderr
    assert "semilayer export config" in stopped.stderr
    assert guard(drifted) == 0.5


@pytest.mark.parametrize(
    ("typed", "code", "left"), [("n\n", 3, 0.5), ("y\n", 0, 0.3), ("\x04", 130, 0.5)]
)
def test_a_person_is_asked(typed: str, code: int, left: float, drifted: Folder) -> None:
    ended, said = answer(drifted, typed, "push")

    assert ended == code, said
    assert "Push and undo what was changed in items?" in said
    assert guard(drifted) == left


def test_with_force_the_file_wins(drifted: Folder) -> None:
    assert drifted.run("push", "--force").exit_code == 0

    assert guard(drifted) == 0.3
    assert drifted.run("push").stdout.split() == ["unchanged", "items"]


def test_not_to_be_asked_about_removals_is_no_leave_to_undo_changes(drifted: Folder) -> None:
    assert drifted.run("push", "--skip-confirmation-dangerously").exit_code == 3


def test_a_dry_run_tells_all_of_it_and_writes_nothing(drifted: Folder) -> None:
    told = drifted.json("push", "--dry-run")

    assert told["dryRun"] is True
    assert [(lens["name"], lens["change"]) for lens in told["lenses"]] == [("items", "updated")]
    (found,) = told["drift"]
    assert (found["lens"], found["by"]) == ("items", "api")
    assert found["edits"] == [{"path": ["guard"], "before": 0.3, "after": 0.5}]
    assert guard(drifted) == 0.5


def test_a_dry_run_of_a_first_push_makes_not_even_the_environment(folder: Folder) -> None:
    assert "created    items" in folder.run("push", "--dry-run").stdout

    assert folder.json("envs", "list") == []


def test_two_pushes_at_once_both_end_well_and_one_does_the_work(folder: Folder) -> None:
    both = [folder.start("push") for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(text.split()[0] for text in said) == ["created", "unchanged"]


def test_an_export_takes_the_change_into_the_file_and_the_next_push_goes_through(
    drifted: Folder,
) -> None:
    before = (drifted.path / "sl.config.yaml").read_bytes()
    told = drifted.json("export", "config", "--dry-run")
    assert (told["changed"], [lens["name"] for lens in told["lenses"]]) == (True, ["items"])
    assert (drifted.path / "sl.config.yaml").read_bytes() == before

    said = drifted.run("export", "config").stdout

    assert "changed  items" in said
    assert "+ guard: 0.5" in said
    assert drifted.run("push").stdout.split() == ["unchanged", "items"]
    assert guard(drifted) == 0.5
    assert "has everything" in drifted.run("export", "config").stdout
