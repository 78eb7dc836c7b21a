"""A lens with `freshness` counts as fresh while its table does not change."""

from __future__ import annotations

import time
from datetime import timedelta

import dagster as dg
import pytest

from semilayer_pipelines.orchestration import followed
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.orchestration.names import RESOURCE
from tests.lab import Lab
from tests.meddling import Meddled
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import PUBLISHED, launch, materialised


def ticked(lab: Lab, instance: dg.DagsterInstance) -> str:
    """Evaluate the schedule of the lens's interval once; return what it says it did."""
    schedule = (
        build_definitions(lab.project)
        .get_repository_def()
        .get_schedule_def("incremental_ingest_5m")
    )
    context = dg.build_schedule_context(instance=instance, resources={RESOURCE: lab.project})
    return str(schedule.evaluate_tick(context).skip_message)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock that freshness is judged by be so much later."""
    monkeypatch.setattr(followed, "now", lambda: time.time() + seconds)


def filled(make_lab: MakeLab, instance: dg.DagsterInstance, **lens: object) -> Lab:
    """A lens with an index, and a source that was last written before it."""
    lab = make_lab(5, syncInterval="5m", **lens)
    lab.project = Meddled.of(lab.project, later=timedelta(hours=1))
    assert launch(lab, instance, "full_ingest").success
    return lab


def test_a_tick_that_finds_nothing_to_read_says_so_before_the_index_counts_as_stale(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an index that Dagster heard of a moment ago
    lab = filled(make_lab, disk_instance, freshness="2h")
    known = len(materialised(disk_instance, PUBLISHED))

    # when a tick finds nothing, then one half an hour later, and one soon after
    told = [ticked(lab, disk_instance)]
    soon = len(materialised(disk_instance, PUBLISHED))
    later(monkeypatch, 31 * 60)
    told.append(ticked(lab, disk_instance))
    then = materialised(disk_instance, PUBLISHED)

    # then only the second is worth an event, which says why there is one
    assert all("test/items (nothing was written to its source" in one for one in told)
    assert (soon, len(then)) == (known, known + 1)
    assert then[-1].metadata["unchanged"].value == "nothing was written to its table"


def test_a_lens_that_does_not_say_how_fresh_it_is_gets_no_such_events(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = filled(make_lab, disk_instance)
    known = len(materialised(disk_instance, PUBLISHED))
    later(monkeypatch, 30 * 24 * 3_600)

    assert "nothing was written" in ticked(lab, disk_instance)
    assert len(materialised(disk_instance, PUBLISHED)) == known


def test_an_index_that_dagster_never_heard_of_is_not_made_up(
    make_lab: MakeLab, disk_instance: dg.DagsterInstance
) -> None:
    # given an index that was filled without Dagster
    lab = make_lab(5, syncInterval="5m", freshness="2h")
    lab.full()

    followed.note_unchanged(disk_instance, lab.lens)

    assert materialised(disk_instance, PUBLISHED) == []
