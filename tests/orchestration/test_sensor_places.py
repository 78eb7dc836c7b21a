"""The sensor, where there is more to do than there are places: what is launched, and when."""

from __future__ import annotations

import dagster as dg

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import ENV
from tests.orchestration.conftest import MakeLab
from tests.orchestration.ticks import (
    ask_all,
    lens_names,
    more_lenses,
    requests,
    run_of,
)


def test_one_tick_launches_many_lenses(make_lab: MakeLab, instance: dg.DagsterInstance) -> None:
    # given sixty lenses with a job each
    lab = make_lab(10)
    more_lenses(lab, 59)
    for lens in lens_names(lab):
        lifecycle.request_rebuild(lab.project, ENV, lens)

    # when
    launched = requests(lab, instance)

    # then as many as a tick launches, and none twice
    assert len({r.tags["semilayer/lens"] for r in launched}) == len(launched) == 50


def test_jobs_that_wait_in_the_queue_do_not_hide_those_behind_them(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given sixty lenses with a job each, of which one tick launches fifty
    lab = make_lab(10)
    more_lenses(lab, 59)
    asked = {lifecycle.request_rebuild(lab.project, ENV, lens).id for lens in lens_names(lab)}
    first = requests(lab, instance)
    for request in first:
        run_of(instance, request, dg.DagsterRunStatus.NOT_STARTED)

    # when, then the next tick launches the others
    second = requests(lab, instance)
    assert len(second) == 10
    assert {r.tags[".dagster/semilayer-job"] for r in (*first, *second)} == asked


def test_small_jobs_are_left_to_the_runs_that_come_up(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given twenty lenses with changes
    lab = make_lab(10)
    more_lenses(lab, 19)
    ask_all(lab, Mode.RECORDS)

    # when, then two runs are launched, and none while they wait
    first = requests(lab, instance)
    assert len(first) == 2
    for request in first:
        run_of(instance, request, dg.DagsterRunStatus.NOT_STARTED)
    assert not requests(lab, instance)

    # and more once they work
    for run in instance.get_runs():
        instance.delete_run(run.run_id)
    for request in first:
        run_of(instance, request, dg.DagsterRunStatus.STARTED)
    assert len(requests(lab, instance)) == 2


def test_a_run_that_is_held_up_by_its_own_lens_is_not_waited_for(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given runs for two lenses whose last run of the kind is still at work
    lab = make_lab(10)
    more_lenses(lab, 9)
    ask_all(lab, Mode.RECORDS)
    for request in requests(lab, instance):
        run_of(instance, request, dg.DagsterRunStatus.STARTED)
        run_of(instance, request, dg.DagsterRunStatus.NOT_STARTED)

    # when, then the others get runs
    assert len(requests(lab, instance)) == 2


def test_what_callers_wait_for_is_launched_first(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given a rebuild that was asked for before a caller told of a change
    lab = make_lab(10)
    lab.full()
    lifecycle.request_rebuild(lab.project, ENV, "items")
    lab.request(Mode.RECORDS)

    # when
    launched = requests(lab, instance)

    # then the change comes first, here and in Dagster's queue
    assert [r.tags["semilayer/mode"] for r in launched] == ["records", "full"]
    priorities = [int(r.tags["dagster/priority"]) for r in launched]
    assert priorities == sorted(priorities, reverse=True)
    assert priorities[0] > priorities[1]


def test_the_shards_of_a_rebuild_are_counted_together_and_changes_are_not_counted(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(400, shards=4)
    lab.full()
    lifecycle.request_rebuild(lab.project, ENV, "items")
    lab.request(Mode.RECORDS)

    walks = [r.tags.get(".dagster/semilayer-walk") for r in requests(lab, instance)]

    assert walks == [None, *[f"full:{ENV}:items"] * 4]
