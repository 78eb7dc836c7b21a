"""Drift is what a push would undo: no less, and nothing that the file has taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.config.edits import FIELD_ORDER, Edit
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.drift import Drift
from semilayer_pipelines.control.patch import change_lens
from semilayer_pipelines.control.push import Plan, apply_push, plan_push
from semilayer_pipelines.registry import sources
from tests.lab import ENV, Lab, lens_config
from tests.workload import FIELDS


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab.at(tmp_path, rows=3)


def plan(lab: Lab, **lens: object) -> Plan:
    """Plan a push of the lens with these keys changed."""
    with lab.project.registry.read() as db:
        known = sources.list_all(db, lab.lens.env_id)
    config = ProjectConfig(stack="test", sources=known, lenses={"items": lens_config(**lens)})
    return plan_push(lab.project, config, ENV)


def drift(lab: Lab, **lens: object) -> list[Drift]:
    return list(plan(lab, **lens).drift)


def change(lab: Lab, **changes: Any) -> None:
    change_lens(lab.project, ENV, "items", changes, origin="api")


def test_what_was_pushed_is_no_drift_whatever_the_file_says_now(lab: Lab) -> None:
    assert drift(lab) == []
    assert drift(lab, guard=0.5) == []


def test_a_change_through_the_api_is_drift_with_its_origin_and_what_changed(lab: Lab) -> None:
    change(lab, syncInterval="5m")

    (found,) = drift(lab)

    assert (found.lens, found.origin) == ("items", "api")
    assert found.edits == (Edit(("syncInterval",), None, "5m"),)
    assert found.at == lab.lens.pushed_at


def test_a_change_that_was_taken_back_is_none(lab: Lab) -> None:
    change(lab, guard=0.5)
    change(lab, guard=0.3)

    assert drift(lab) == []


def test_a_change_that_the_file_has_too_is_none_whatever_else_the_file_changes(lab: Lab) -> None:
    change(lab, guard=0.5)

    assert drift(lab, guard=0.5) == []
    assert drift(lab, guard=0.5, syncInterval="1h") == []


def test_of_several_changes_only_those_that_would_be_undone_are_told(lab: Lab) -> None:
    change(lab, guard=0.5, syncInterval="5m")

    (found,) = drift(lab, guard=0.5)

    assert [edit.path for edit in found.edits] == [("syncInterval",)]


def test_a_change_that_the_last_push_took_over_may_be_changed_again(lab: Lab) -> None:
    change(lab, guard=0.5)
    apply_push(lab.project, plan(lab, guard=0.5))

    assert drift(lab, guard=0.7) == []


def test_a_field_that_was_changed_is_told_alone(lab: Lab) -> None:
    heavier = {"type": "text", "searchable": {"weight": 3}}
    change(lab, fields=FIELDS | {"name": heavier})

    (found,) = drift(lab)

    assert [edit.path for edit in found.edits] == [("fields", "name", "searchable", "weight")]


def test_fields_in_another_order_are_embedded_otherwise_and_told(lab: Lab) -> None:
    change(lab, fields=dict(reversed(FIELDS.items())))

    (found,) = drift(lab)

    assert [edit.path for edit in found.edits] == [FIELD_ORDER]


def test_a_lens_that_is_to_be_removed_tells_what_was_changed_of_it(lab: Lab) -> None:
    change(lab, guard=0.5)
    nothing = ProjectConfig(stack="test", sources={}, lenses={})

    (found,) = plan_push(lab.project, nothing, ENV).drift

    assert [edit.path for edit in found.edits] == [("guard",)]
