"""The sensor that notices restarts: one small job a lens, and nothing keeps the others waiting."""

from __future__ import annotations

import threading
import time

import dagster as dg
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.orchestration import store_watch
from semilayer_pipelines.orchestration.names import RESOURCE
from semilayer_pipelines.orchestration.store_watch import (
    AGAIN_AFTER,
    store_watch_sensor,
    watch_stores,
)
from semilayer_pipelines.registry import generations, jobs
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import all_jobs
from tests.patience import PATIENCE_SECONDS
from tests.restarting import Served, Server


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def lab(make_lab: MakeLab, server: Server) -> Lab:
    """A lens of 60 rows that is indexed on a server."""
    lab = make_lab(60)
    lab.project = Served.of(lab.project, server)
    lab.full()
    server.verbs.clear()
    server.texts.clear()
    return lab


def queued(lab: Lab) -> list[jobs.Job]:
    return [job for job in all_jobs(lab) if job.status is JobStatus.QUEUED]


def test_a_restart_becomes_a_small_job_that_mends_it_and_embeds_nothing(
    lab: Lab, server: Server, instance: dg.DagsterInstance
) -> None:
    # given
    server.crash(rows=24)
    context = dg.build_sensor_context(instance=instance, resources={RESOURCE: lab.project})

    # when
    tick = store_watch_sensor().evaluate_tick(context)

    # then
    assert (
        tick.skip_message == "test/items: its store was started again; a job looks for what it hid."
    )
    [job] = queued(lab)
    assert (job.mode, job.origin) == (Mode.RECORDS, "restart")
    assert run_job(lab.project, job.id).counts.recovered == 24
    assert server.all_hidden == []
    assert server.texts == []
    assert watch_stores(lab.project) == "No store was started again."


def test_the_same_restart_is_queued_once(lab: Lab, server: Server) -> None:
    server.crash()

    told = [watch_stores(lab.project) for _ in range(3)]

    assert len(queued(lab)) == 1
    assert "was queued for that already" in told[1]


def test_a_job_that_mends_nothing_is_followed_by_another_only_after_a_while(
    lab: Lab, server: Server
) -> None:
    # given a job for it that a person cancelled
    server.crash()
    watch_stores(lab.project)
    [job] = queued(lab)
    with lab.project.registry.begin() as db:
        jobs.cancel(db, job.id, lab.project.clock())

    # when, then
    assert "was queued for that already" in watch_stores(lab.project)
    assert queued(lab) == []
    clock = lab.project.clock
    later = Served(lab.project.settings, {}, lambda: clock() + AGAIN_AFTER, server)
    watch_stores(later)
    assert len(queued(lab)) == 1


def test_a_job_that_waits_already_does_it(lab: Lab, server: Server) -> None:
    waiting = lab.request(Mode.RECORDS)
    server.crash()

    assert "the job that waits looks for what it hid" in watch_stores(lab.project)

    assert [job.id for job in queued(lab)] == [waiting.id]


def test_a_paused_lens_is_left_alone_and_looked_after_when_it_goes_on(
    lab: Lab, server: Server
) -> None:
    lifecycle.pause(lab.project, ENV, "items")
    server.crash()

    assert "it is paused" in watch_stores(lab.project)
    assert queued(lab) == []

    lifecycle.resume(lab.project, ENV, "items")
    watch_stores(lab.project)
    assert len(queued(lab)) == 1


def test_a_store_that_is_away_is_told_and_queues_nothing(lab: Lab, server: Server) -> None:
    server.crash()
    server.away = True

    assert watch_stores(lab.project).startswith("test: The server does not answer.")

    server.away = False
    assert queued(lab) == []
    watch_stores(lab.project)
    assert len(queued(lab)) == 1


def test_a_store_that_hangs_holds_no_tick_up_and_is_asked_once(
    lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(store_watch, "ANSWER_SECONDS", 0.2)
    answered = threading.Event()
    server.crash()

    def hang(_: str) -> None:
        answered.wait(PATIENCE_SECONDS)

    server.before = hang

    # when
    told = [watch_stores(lab.project) for _ in range(2)]

    # then
    assert told == ["test: the store has not answered within 0 s."] * 2
    assert server.verbs == ["incarnation"]
    monkeypatch.setattr(store_watch, "ANSWER_SECONDS", 10.0)
    answered.set()
    assert "a job looks for what it hid" in watch_stores(lab.project)


def test_several_stores_that_hang_are_waited_for_together(
    lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given three environments whose stores hang: a tick has a minute for all of them
    monkeypatch.setattr(store_watch, "ANSWER_SECONDS", 1.0)
    indexes = lab.project.settings.home / "lance"
    for env in "abc":
        (indexes / env).symlink_to(indexes / ENV)
    with lab.project.registry.read() as db:
        watched = generations.watched(db)
    monkeypatch.setattr(store_watch, "_watched", lambda _: dict.fromkeys("abc", watched))
    answered = threading.Event()

    def hang(_: str) -> None:
        answered.wait(PATIENCE_SECONDS)

    server.before = hang

    # when
    begun = time.monotonic()
    told = watch_stores(lab.project)
    took = time.monotonic() - begun
    answered.set()

    # then
    assert told.count("has not answered") == 3
    assert took < 2.5


def test_lenses_of_one_store_are_looked_after_with_one_question_while_nothing_happens(
    lab: Lab, server: Server
) -> None:
    # given three lenses
    lab.push("second", "third")
    others = [Lab(lab.project, lab.folder, name=name) for name in ("second", "third")]
    for other in others:
        other.full()
    server.verbs.clear()

    # when nothing has happened, then one is asked
    watch_stores(lab.project)
    assert server.verbs == ["incarnation"]

    # and when all are affected, each gets a job of its own
    server.crash()
    watch_stores(lab.project)
    assert sorted(job.lens for job in queued(lab)) == ["items", "second", "third"]


def test_a_store_that_tells_of_no_restart_is_not_asked(make_lab: MakeLab) -> None:
    lab = make_lab(10)
    lab.full()

    assert watch_stores(lab.project) == "No store tells of its restarts."
