"""Somebody is told what is wrong: once, and once when it is over, and by nobody twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.control.alerts import NOBODY, look, send_due, send_test, tell
from semilayer_pipelines.errors import GuardStopped, NotFound
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import (
    alerts,
    environments,
    failed_rows,
    heartbeats,
    jobs,
    lenses,
    tables,
)
from semilayer_pipelines.registry.alerts import GIVE_UP_AFTER, Kind, Notice
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus
from tests.clock import Clock
from tests.control.receiver import Receiver, receiving
from tests.lab import Lab
from tests.registry.conftest import postgres_registry_url, registry_url
from tests.registry.given import lens_config
from tests.registry.race import threads_at_once

__all__ = ["postgres_registry_url", "registry_url"]

ENV = "test"
TWO_MINUTES = 120.0


@dataclass
class Site:
    """A project with a lens `items` that tells a receiver; time goes on when it is told to."""

    project: Project
    clock: Clock
    receiver: Receiver
    lens: Lens
    environ: dict[str, str] = field(default_factory=dict)

    def tells(self, *to: AlertConfig) -> None:
        with self.project.registry.begin() as db:
            alerts.set_addresses(db, self.lens.env_id, "shop", to)

    def look(self, seconds: float = 0, *, alive: bool = True, within: bool = False) -> str:
        """Let time pass and look; `alive`: Dagster's daemon ticks."""
        self.clock.go_on(max(seconds, 30))
        if alive:
            heartbeats.Heart(heartbeats.DAEMON).beat(self.project.registry, self.clock())
        return tell(self.project, within=within)

    def fails(self, *, needs_you: bool = False, guarded: bool = False) -> None:
        with self.project.registry.begin() as db:
            lenses.set_failing(
                db,
                self.lens.id,
                error="The source <main> & its replica did not answer.",
                cure="Start it.",
                needs_you=needs_you,
                guarded=guarded,
                now=self.clock(),
            )

    def is_well(self, status: LensStatus = LensStatus.READY) -> None:
        with self.project.registry.begin() as db:
            lenses.set_status(db, self.lens.id, status, now=self.clock())

    def sets_aside(self, rows: int) -> None:
        with self.project.registry.begin() as db:
            failed_rows.clear(db, self.lens.id, [f"{n}" for n in range(200)])
            given = {f"{n}": ("map", "no") for n in range(rows)}
            failed_rows.record(db, self.lens.id, given, job_id="j", now=self.clock())

    def walked(self) -> None:
        """Let a walk over the table have completed just now."""
        with self.project.registry.begin() as db:
            job_id = f"walk-{self.clock()}"
            now = self.clock()
            asked = jobs.request(
                db, self.lens, Mode.SMART_SYNC, job_id=job_id, origin="test", now=now
            )
            assert jobs.take(db, asked.job.id, lease="a", run_id=None, now=now)
            done = JobStatus.COMPLETED
            counts = asked.job.counts
            assert jobs.finish(db, job_id, lease="a", status=done, counts=counts, now=now)

    @property
    def notices(self) -> list[Notice]:
        with self.project.registry.read() as db:
            return alerts.notices(db, self.lens.env_id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


def opened(url: str, folder: Path, receiver: Receiver) -> Site:
    clock = Clock()
    environ = {"ALERTS_URL": receiver.url}
    settings = replace(Settings.from_environ({"SEMILAYER_ENV": ENV}, folder), registry_url=url)
    project = Project(settings, environ, clock)
    with project.registry.begin() as db:
        env_id = environments.ensure(db, ENV, clock()).id
        config = lens_config(freshness="10m")
        needs = lenses.Needs.NOTHING
        lens = lenses.register(db, env_id, "items", config, needs=needs, origin="cli", now=clock())
        lenses.set_status(db, lens.id, LensStatus.READY, now=clock())
    site = Site(project, clock, receiver, lens, environ)
    site.tells(AlertConfig(url="${ALERTS_URL}", failed_rows=3))
    return site


@pytest.fixture
def site(registry_url: str, tmp_path: Path, receiver: Receiver) -> Iterator[Site]:
    """The site on SQLite and on PostgreSQL."""
    made = opened(registry_url, tmp_path, receiver)
    yield made
    made.project.registry.close()


@pytest.fixture
def small(tmp_path: Path, receiver: Receiver) -> Iterator[Site]:
    """The site on SQLite alone, for what does not depend on the database."""
    made = opened(f"sqlite:///{tmp_path}/registry.db", tmp_path, receiver)
    yield made
    made.project.registry.close()


def test_each_kind_is_told_once_and_once_when_it_is_over(site: Site) -> None:
    site.walked()

    # when: something is wrong, and stays so
    def stays(kind: Kind, alive: bool = True) -> None:
        for _ in range(5):
            site.look(alive=alive)
        assert site.receiver.told == [("open", kind)]

    def passes(kind: Kind) -> None:
        site.look()
        site.look(TWO_MINUTES)
        site.look()
        assert site.receiver.told == [("open", kind), ("over", kind)]
        assert site.notices == []
        site.receiver.got.clear()
        site.walked()

    site.fails(needs_you=True)
    stays(Kind.ERROR)
    site.is_well()
    passes(Kind.ERROR)

    site.fails(needs_you=True, guarded=True)
    stays(Kind.GUARD)
    site.is_well()
    passes(Kind.GUARD)

    site.sets_aside(4)
    stays(Kind.FAILED_ROWS)
    site.sets_aside(3)
    passes(Kind.FAILED_ROWS)

    site.look(601)
    stays(Kind.BEHIND)
    site.walked()
    passes(Kind.BEHIND)

    site.look(100, alive=False)
    stays(Kind.DAEMON, alive=False)
    passes(Kind.DAEMON)


def test_a_guard_that_stops_a_sync_is_told_as_such_with_its_cure(
    tmp_path: Path, receiver: Receiver
) -> None:
    # given: a lens whose source lost nearly everything
    environ = {"ALERTS_URL": receiver.url}
    lab = Lab.at(tmp_path, rows=300, environ=environ)
    lab.full()
    with lab.source() as source:
        source.execute("DELETE FROM items WHERE rowid > 20")
    with lab.project.registry.begin() as db:
        alerts.set_addresses(db, lab.lens.env_id, "shop", [AlertConfig(url="${ALERTS_URL}")])

    # when
    with pytest.raises(GuardStopped):
        lab.sync()
    tell(lab.project)

    # then
    [told] = receiver.got
    assert (told["kind"], told["lens"]) == ("guard", "items")
    assert "Its guard allows 100." in told["message"]
    assert "It is tried again at " in told["message"]
    assert "--confirm-deletes" in told["cure"]

    # and what mends it ends it
    lab.sync(confirmed=True)
    assert not lab.lens.guarded


def test_the_document_says_what_a_program_needs(small: Site) -> None:
    since = small.clock()
    small.fails(needs_you=True)
    small.look()

    [told] = small.receiver.got
    assert told == {
        "state": "open",
        "project": "shop",
        "env": ENV,
        "lens": "items",
        "kind": "error",
        "message": "The source <main> & its replica did not answer. It needs you: nothing is done "
        "until you act.",
        "cure": "Start it.",
        "since": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        "at": f"{small.clock():%Y-%m-%dT%H:%M:%SZ}",
    }


def test_what_slack_would_take_for_its_own_marks_is_escaped(small: Site) -> None:
    small.tells(AlertConfig(url="${ALERTS_URL}", form="slack"))
    small.fails(needs_you=True)
    small.look()

    [told] = small.receiver.got
    assert list(told) == ["text"]
    assert "The source &lt;main&gt; &amp; its replica" in told["text"]
    assert told["text"].startswith("shop / test / items: ")


def test_an_error_that_passes_by_itself_is_not_told(small: Site) -> None:
    small.fails()
    small.look()
    small.is_well()
    for _ in range(6):
        small.look()
    assert small.receiver.got == []

    small.fails()
    small.look(TWO_MINUTES)
    assert small.receiver.told == [("open", "error")]


def test_what_comes_back_before_two_minutes_were_well_is_not_told_again(small: Site) -> None:
    small.fails(needs_you=True)
    small.look()
    for _ in range(4):
        small.is_well()
        small.look()
        small.fails(needs_you=True)
        small.look()
    small.is_well(LensStatus.INDEXING)
    small.look(TWO_MINUTES * 2)

    assert small.receiver.told == [("open", "error")]


def test_a_lens_that_is_tried_again_has_not_shown_yet_that_it_is_well(small: Site) -> None:
    small.fails(needs_you=True)
    small.look()
    small.is_well(LensStatus.INDEXING)
    for _ in range(6):
        small.look()
    assert small.receiver.told == [("open", "error")]

    small.is_well()
    small.look()
    small.look(TWO_MINUTES)
    assert small.receiver.told == [("open", "error"), ("over", "error")]


def test_while_nothing_runs_jobs_that_alone_is_told_and_not_by_the_daemon(small: Site) -> None:
    small.walked()
    small.look()

    small.look(700, alive=False, within=True)
    assert small.receiver.told == []

    small.look(alive=False)
    assert small.receiver.told == [("open", "daemon")]


@pytest.mark.parametrize(
    ("status", "lens", "told"),
    [
        (LensStatus.PAUSED, {"freshness": "10m"}, []),
        (LensStatus.READY, {}, []),
        (LensStatus.READY, {"freshness": "10m"}, [("open", "behind")]),
    ],
    ids=["paused", "no target", "late"],
)
def test_only_a_lens_with_a_target_that_is_not_paused_is_behind(
    small: Site, status: LensStatus, lens: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    with small.project.registry.begin() as db:
        needs = lenses.Needs.NOTHING
        env_id, now = small.lens.env_id, small.clock()
        config = lens_config(**lens)
        lenses.register(db, env_id, "items", config, needs=needs, origin="cli", now=now)
    small.walked()
    small.is_well(status)

    small.look(601)

    assert small.receiver.told == told


def test_several_that_send_at_once_send_one(site: Site) -> None:
    site.fails(needs_you=True)
    with site.project.registry.read() as db:
        named = alerts.addresses(db)
    look(site.project, named)
    others = [Project(site.project.settings, site.environ, site.clock) for _ in range(4)]

    def send(number: int) -> list[str]:
        look(others[number], named)
        return send_due(others[number], named)

    said = threads_at_once(send, 4)

    assert site.receiver.told == [("open", "error")]
    assert sorted(map(len, said)) == [0, 0, 0, 1]
    for other in others:
        other.registry.close()


def test_of_several_programs_one_looks_at_a_time(site: Site) -> None:
    site.fails(needs_you=True)
    site.clock.go_on(30)

    said = threads_at_once(lambda _: tell(site.project), 4)

    assert said.count("Another program looked a moment ago.") == 3
    assert len(site.receiver.got) == 1


def test_an_address_that_takes_nothing_is_asked_less_and_less_and_given_up(small: Site) -> None:
    small.receiver.status = 500
    small.fails(needs_you=True)
    asked = list[float]()
    start = small.clock()
    for _ in range(60 * 5):
        before = len(small.receiver.got)
        small.look(60)
        if len(small.receiver.got) > before:
            asked.append((small.clock() - start).total_seconds())

    gaps = [round((b - a) / 60) for a, b in pairwise(asked)]
    assert gaps == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert small.notices[0].trouble == "It answered HTTP 500."

    small.look(GIVE_UP_AFTER.total_seconds())
    small.look()
    assert small.notices[0].given_up
    sent = len(small.receiver.got)
    small.receiver.status = 204
    small.look(7200)
    small.is_well()
    small.look()
    assert len(small.receiver.got) == sent
    assert small.notices == []


def test_one_address_that_takes_nothing_keeps_no_other_waiting(small: Site) -> None:
    with receiving() as dead:
        dead.status = 503
        small.project = Project(
            small.project.settings, small.environ | {"DEAD": dead.url}, small.clock
        )
        small.tells(AlertConfig(url="${DEAD}", failed_rows=3), AlertConfig(url="${ALERTS_URL}"))
        small.fails(needs_you=True)
        small.sets_aside(150)
        small.look()

        assert sorted(small.receiver.told) == [("open", "error"), ("open", "failed_rows")]
        assert len(dead.got) == 1


def test_after_a_restart_nothing_is_told_again(small: Site) -> None:
    small.fails(needs_you=True)
    small.look()
    small.project.registry.close()
    small.project = Project(small.project.settings, small.environ, small.clock)
    small.look()
    assert small.receiver.told == [("open", "error")]


def test_a_claim_of_a_program_that_died_is_another_ones_after_a_minute(small: Site) -> None:
    # given: somebody claimed the message, and died
    small.fails(needs_you=True)
    with small.project.registry.read() as db:
        named = alerts.addresses(db)
    look(small.project, named)
    where = {(small.lens.env_id, "${ALERTS_URL}")}
    with small.project.registry.begin() as db:
        assert alerts.claim(db, small.clock(), among=where) is not None

    assert send_due(small.project, named) == []
    small.clock.go_on(61)
    assert len(send_due(small.project, named)) == 1


def test_a_redirect_is_not_followed(small: Site) -> None:
    with receiving() as other:
        small.receiver.status, small.receiver.location = 307, other.url
        small.fails(needs_you=True)
        small.look()

        assert other.got == []
    assert small.notices[0].trouble == "It answered HTTP 307, and a redirect is not followed."


@pytest.mark.parametrize(
    ("answer", "status", "came"),
    [
        (b"", 200, None),
        (b"no_service", 404, "It answered HTTP 404: no_service."),
        (b"unknown path /hook/s3cret-path", 404, "It answered HTTP 404."),
    ],
    ids=["taken", "refused", "refused by an answer that repeats the address"],
)
def test_a_test_says_what_came_back(
    small: Site, answer: bytes, status: int, came: str | None
) -> None:
    small.receiver.said, small.receiver.status = answer, status

    [sent] = send_test(small.project, ENV)

    assert (sent.trouble, sent.status) == (came, None if came else status)
    assert small.receiver.told == [("over", "test")]


@pytest.mark.parametrize(
    ("value", "trouble"),
    [
        (None, "the environment variable OTHER is not set"),
        ("s3cret-word", "${OTHER} holds no address"),
        ("http://127.0.0.1:1/s3cret-path", "It cannot be reached: ConnectError."),
    ],
    ids=["not set", "no address", "nobody there"],
)
def test_no_log_and_no_error_has_the_address(
    small: Site, caplog: pytest.LogCaptureFixture, value: str | None, trouble: str
) -> None:
    caplog.set_level(logging.DEBUG)
    environ = {"OTHER": value} if value else {}
    small.project = Project(small.project.settings, environ | small.environ, small.clock)
    small.tells(AlertConfig(url="${OTHER}"), AlertConfig(url="${ALERTS_URL}"))
    small.fails(needs_you=True)

    said = small.look()

    assert len(small.receiver.got) == 1
    [failed] = [one.trouble for one in small.notices if one.trouble]
    assert trouble in failed
    everything = f"{caplog.text} {said} {small.notices} {send_test(small.project, ENV)}"
    assert "s3cret" not in everything
    assert "${OTHER}" in said


def test_an_answer_that_never_ends_is_not_waited_for(
    small: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semilayer_pipelines.control.alert_post.POST_SECONDS", 0.2)
    small.receiver.slow.clear()
    small.fails(needs_you=True)

    small.look()

    assert small.notices[0].trouble == "It did not answer within 0.2 s."


def test_where_nobody_is_to_be_told_one_query_is_made(small: Site) -> None:
    from sqlalchemy import event

    small.tells()
    queries = list[str]()
    event.listen(
        small.project.registry.engine,
        "before_cursor_execute",
        lambda *args: queries.append(args[2]),
    )

    assert tell(small.project) == NOBODY
    assert len([query for query in queries if query.startswith("SELECT")]) == 1
    with pytest.raises(NotFound, match="names no address"):
        send_test(small.project, ENV)


def test_what_an_address_was_told_goes_with_it_and_with_the_environment(site: Site) -> None:
    site.fails(needs_you=True)
    site.look()
    assert len(site.notices) == 1

    site.tells(AlertConfig(url="${ALERTS_URL}"), AlertConfig(url="https://other.example.org/x"))
    assert len(site.notices) == 1
    site.tells(AlertConfig(url="https://other.example.org/x"))
    assert site.notices == []

    site.tells(AlertConfig(url="${ALERTS_URL}"))
    site.look()
    with site.project.registry.begin() as db:
        environments.remove(db, site.lens.env_id)
        assert db.execute(tables.alerts.select()).all() == []


def test_an_alert_that_was_noted_while_the_clock_was_ahead_is_told_once_it_is_right(
    small: Site,
) -> None:
    small.receiver.status = 500
    small.clock.now += timedelta(days=400)
    small.fails(needs_you=True)
    small.look()
    small.clock.now -= timedelta(days=400)
    small.receiver.status = 204

    small.look()

    assert small.notices[0].told_at == small.clock()


def test_a_clock_that_was_set_back_does_not_silence_it(small: Site) -> None:
    small.look()
    small.clock.now -= timedelta(hours=2)
    small.fails(needs_you=True)
    small.look()
    assert small.receiver.told == [("open", "error")]
