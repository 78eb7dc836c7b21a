"""An environment is made with keys, and its deletion leaves nothing of it and all of the others."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from semilayer_pipelines.config.models import Cdc, ProjectConfig
from semilayer_pipelines.control import environments as control_environments
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.environments import (
    contents,
    create_environment,
    delete_environment,
    first_keys,
)
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.errors import NotFound, Refused, StoreUnavailable
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import api_keys, environments, feeds, lenses, sources, tables
from semilayer_pipelines.registry.api_key import KeyKind, parse_key
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import ENV, Lab
from tests.mortal import Died, Life, dies_at, mortal
from tests.patience import PATIENCE_SECONDS

OTHER = "other"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An indexed lens with some thousand rows, so that a run has several pages."""
    lab = Lab.at(tmp_path, rows=3_000)
    lab.full()
    return lab


def names(lab: Lab, env: str = ENV) -> list[str]:
    return lab.project.store(env).names()


def slugs(lab: Lab) -> list[str]:
    with lab.project.registry.read() as db:
        return [env.slug for env in environments.list_all(db)]


def test_a_new_environment_has_a_working_key_of_each_kind(lab: Lab) -> None:
    created, issued = create_environment(lab.project, OTHER)

    assert created.slug == OTHER
    assert {each.key.kind for each in issued} == set(KeyKind)
    presented = [parse_key(each.text) for each in issued]
    with lab.project.registry.read() as db:
        assert len(api_keys.check(db, [key for key in presented if key])) == len(KeyKind)


def test_first_keys_are_issued_once_and_not_to_one_that_has_had_keys(lab: Lab) -> None:
    first = first_keys(lab.project, OTHER)
    with lab.project.registry.begin() as db:
        for each in first:
            api_keys.revoke(db, OTHER, each.key.id, lab.project.clock())

    assert len(first) == len(KeyKind)
    assert first_keys(lab.project, OTHER) == ()


def test_a_deleted_environment_leaves_nothing_and_others_as_they_were(lab: Lab) -> None:
    # given environments with keys, two of them with a lens
    create_environment(lab.project, OTHER)
    kept = first_keys(lab.project, ENV)[0]
    gone = create_environment(lab.project, "staging")[1][0]
    copy_lens(lab, "staging")
    assert names(lab, "staging")

    # when
    told = delete_environment(lab.project, "staging")

    # then
    assert (told.lenses, told.keys) == (("items",), len(KeyKind))
    assert names(lab, "staging") == []
    assert slugs(lab) == [OTHER, ENV]
    presented = [parse_key(each.text) for each in (kept, gone)]
    with lab.project.registry.read() as db:
        (known,) = api_keys.check(db, [key for key in presented if key]).values()
    assert known.env == ENV
    assert lab.audit().clean
    with pytest.raises(NotFound, match="staging"):
        contents(lab.project, "staging")


def test_two_deletions_at_once_leave_nothing_and_speak_of_the_environment(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a deletion that has seen the lens, when another one removes everything
    stop_runs = control_environments._stop_runs

    def overtaken(project: Project, slug: str) -> None:
        stop_runs(project, slug)
        monkeypatch.undo()
        delete_environment(project, slug)

    monkeypatch.setattr(control_environments, "_stop_runs", overtaken)

    # when
    with pytest.raises(NotFound, match=f"environment '{ENV}'"):
        delete_environment(lab.project, ENV)

    # then
    assert names(lab) == []
    assert slugs(lab) == []


def test_one_of_the_same_name_starts_empty(lab: Lab) -> None:
    delete_environment(lab.project, ENV)
    lab.push()

    assert names(lab) == []
    lab.full()
    assert lab.audit().clean


def test_a_run_stops_before_its_index_goes_and_brings_nothing_back(lab: Lab) -> None:
    # given a rebuild that is at its first page
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    at_work, ended = threading.Event(), list[str]()

    def report(_: PageDone) -> None:
        at_work.set()

    def work() -> None:
        ended.append(run_job(lab.project, job.id, report=report).ended.value)

    run = threading.Thread(target=work)
    run.start()
    assert at_work.wait(PATIENCE_SECONDS)

    # when
    delete_environment(lab.project, ENV)
    run.join()

    # then
    assert ended
    assert names(lab) == []
    assert slugs(lab) == []


def test_a_run_that_lost_its_process_is_not_waited_for(lab: Lab) -> None:
    job = lab.request(Mode.SMART_SYNC)
    long_ago = lab.project.clock() - timedelta(hours=1)
    with lab.project.registry.begin() as db:
        running = update(tables.jobs).where(tables.jobs.c.id == job.id)
        db.execute(running.values(status="running", heartbeat_at=long_ago, started_at=long_ago))

    delete_environment(lab.project, ENV)

    assert slugs(lab) == []


def test_a_run_that_does_not_stop_keeps_everything(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lab.request(Mode.SMART_SYNC)
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        running = update(tables.jobs).where(tables.jobs.c.id == job.id)
        db.execute(running.values(status="running", heartbeat_at=now, started_at=now))
    monkeypatch.setattr("semilayer_pipelines.control.environments.RUNS_STOP_S", 0.0)

    with pytest.raises(Refused, match="items did not stop"):
        delete_environment(lab.project, ENV)

    assert contents(lab.project, ENV).lenses == ("items",)
    assert names(lab)


def test_what_a_store_that_is_away_left_behind_the_next_deletion_takes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that goes away when the index is to be dropped
    store = lab.project.store(ENV)

    def away(_: str) -> None:
        raise StoreUnavailable("The store does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(store, "drop", away)
        with pytest.raises(StoreUnavailable):
            delete_environment(lab.project, ENV)
    assert names(lab)

    # when
    delete_environment(lab.project, ENV)

    # then
    assert names(lab) == []
    assert slugs(lab) == []


def test_what_is_installed_while_a_deletion_waits_is_not_forgotten(lab: Lab) -> None:
    # given a feed that is installed once the deletion has looked for those that are there
    copy_lens(lab, "staging")

    def install(_: str, life: Life) -> None:
        if len(life.steps) == 8:
            with lab.project.registry.begin() as db:
                feeds.ensure(db, environments.get(db, "staging").id, "main", Cdc.LOGICAL)

    # when
    with pytest.raises(Refused, match="What follows main is still installed"):
        delete_environment(mortal(lab.project, Life(install)), "staging")

    # then it can still be taken away
    with lab.project.registry.read() as db:
        assert [row.source for row in feeds.list_all(db, "staging")] == ["main"]


def test_a_deletion_that_dies_at_any_step_is_finished_by_the_next(lab: Lab) -> None:
    create_environment(lab.project, OTHER)
    deaths = 0
    while True:
        # given an environment with an index, whose deletion dies a step later than the last one
        copy_lens(lab, "staging")

        # when
        try:
            delete_environment(mortal(lab.project, dies_at(deaths + 1)), "staging")
        except Died:
            deaths += 1
            if "staging" in slugs(lab):
                delete_environment(lab.project, "staging")
            finished = False
        else:
            finished = True

        # then nothing of it is left, and the others are as they were
        assert slugs(lab) == [OTHER, ENV]
        assert names(lab, "staging") == []
        assert lab.audit().clean
        if finished:
            break
    assert deaths >= 5


def copy_lens(lab: Lab, env: str) -> None:
    """Push the lens to another environment, and fill its index there."""
    with lab.project.registry.read() as db:
        config = lenses.get(db, ENV, "items").config
        source = sources.get(db, environments.get(db, ENV).id, "main")
    whole = ProjectConfig(stack="test", sources={"main": source}, lenses={"items": config})
    apply_push(lab.project, plan_push(lab.project, whole, env))
    job = lifecycle.resume(lab.project, env, "items").job
    assert job is not None
    run_job(lab.project, job.id)
