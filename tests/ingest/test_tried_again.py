"""A lens never stops for good by itself: what may pass is tried again, whatever it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import (
    EmbedderUnavailable,
    EmptySource,
    GuardStopped,
    ModelUnavailable,
    SemilayerError,
    SourceUnreachable,
)
from semilayer_pipelines.ingest import retry
from semilayer_pipelines.ingest.outlook import MOMENT
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.queries.failing import Failing, failing_of
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.jobs.waits import LONGEST_WAIT
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from tests import servers
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.proxy import Proxy

FIELDS = {"name": {"type": "text", "searchable": True}}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.0)


@dataclass
class Time:
    """A project's time; it passes when it is told to."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Shop:
    """A lens without any schedule over a table of a PostgreSQL that may go away."""

    lab: Lab
    url: str
    proxy: Proxy
    time: Time
    tried: list[datetime] = field(default_factory=list)

    def change(self) -> None:
        servers.execute(self.url, "UPDATE items SET name = name || '!'")

    def pass_minutes(self, minutes: int) -> None:
        """Let time pass; whatever job is due runs, as under Dagster's sensor."""
        end = self.time.now + timedelta(minutes=minutes)
        while self.time.now < end:
            self.time.now += timedelta(seconds=30)
            with self.lab.project.registry.read() as db:
                due = jobs.due(db, self.time.now)
            for job in due:
                self.tried.append(self.time.now)
                try:
                    run_job(self.lab.project, job.id)
                except SemilayerError:
                    continue

    @property
    def failing(self) -> Failing | None:
        with self.lab.project.registry.read() as db:
            return failing_of(db, self.lab.lens)

    @property
    def in_sync(self) -> bool:
        return self.lab.lens.status is LensStatus.READY and self.lab.audit().clean


@pytest.fixture
def shop(postgres_database: str, tmp_path: Path) -> Iterator[Shop]:
    url = servers.emptied(postgres_database)
    servers.execute(
        url,
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)",
        "INSERT INTO items SELECT n, 'thing ' || n FROM generate_series(1, 300) n",
    )
    server = make_url(url)
    proxy = Proxy(server.host or "127.0.0.1", server.port or 5432)
    through = server.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
    settings = Settings.from_environ({"SEMILAYER_ENV": ENV}, tmp_path)
    environ = {"SHOP": through.render_as_string(hide_password=False)}
    project = Project(settings, environ)
    time = Time(project.clock())
    lab = Lab(replace(project, clock=time), tmp_path, connection="${SHOP}")
    lab.push(fields=FIELDS)
    lab.full()
    shop = Shop(lab, url, proxy, time)
    shop.change()
    yield shop
    proxy.cut()
    lab.project.registry.close()


def run_sql(*statements: str) -> Callable[[Shop], None]:
    return lambda shop: servers.execute(shop.url, *statements)


BREAKS: dict[str, tuple[Callable[[Shop], None], Callable[[Shop], None]]] = {
    "an outage": (lambda shop: shop.proxy.cut(), lambda shop: shop.proxy.mend()),
    "a table that is being swapped": (
        run_sql("ALTER TABLE items RENAME TO items_old"),
        run_sql("ALTER TABLE items_old RENAME TO items"),
    ),
    "a column that is being replaced": (
        run_sql("ALTER TABLE items RENAME COLUMN name TO name_old"),
        run_sql("ALTER TABLE items RENAME COLUMN name_old TO name"),
    ),
    "a full refresh at its empty moment": (
        run_sql("CREATE TABLE kept AS SELECT * FROM items", "DELETE FROM items"),
        run_sql("INSERT INTO items SELECT * FROM kept"),
    ),
    "a full refresh that is half done": (
        run_sql("CREATE TABLE kept AS SELECT * FROM items", "DELETE FROM items WHERE id > 50"),
        run_sql("INSERT INTO items SELECT * FROM kept WHERE id > 50"),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_lens_without_a_schedule_is_in_sync_again_after(shop: Shop, name: str) -> None:
    breaks, mends = BREAKS[name]
    breaks(shop)
    lifecycle.request_sync(shop.lab.project, ENV, "items")

    # when it lasts for three hours
    shop.pass_minutes(180)

    # then it is told since when, when it is tried next, and it was not asked without end
    failing = shop.failing
    assert failing is not None
    assert failing.next_try is not None
    assert failing.next_try <= shop.time.now + LONGEST_WAIT
    assert failing.since is not None
    assert failing.since <= shop.time.now - timedelta(minutes=170)
    assert not failing.stopped
    assert 5 < len(shop.tried) < 13
    assert shop.lab.index.count() == 300

    # and once it is over, nobody has to do anything
    mends(shop)
    shop.pass_minutes(61)
    assert shop.in_sync
    assert shop.failing is None
    assert shop.lab.lens.failing_since is None


def test_a_short_outage_is_over_within_minutes(shop: Shop) -> None:
    shop.proxy.cut()
    lifecycle.request_sync(shop.lab.project, ENV, "items")
    shop.pass_minutes(4)
    shop.proxy.mend()
    shop.pass_minutes(5)

    assert shop.in_sync


def test_a_grant_that_is_revoked_and_renewed_needs_nobody_here(shop: Shop) -> None:
    # given a user of its own, as only a superuser may read what he was not granted
    server, user = make_url(shop.url), f"reader_{uuid4().hex[:8]}"
    schema = f"GRANT USAGE ON SCHEMA public TO {user}"
    grant = f"GRANT SELECT ON items TO {user}"
    servers.execute(shop.url, f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD 'x'")
    try:
        servers.execute(shop.url, f"ALTER ROLE {user} NOSUPERUSER", schema, grant)
        as_user = server.set(drivername="postgresql", username=user, password="x")
        environ = {"SHOP": as_user.render_as_string(hide_password=False)}
        shop.lab.project = replace(shop.lab.project, environ=environ)
        servers.execute(shop.url, f"REVOKE SELECT ON items FROM {user}")
        lifecycle.request_sync(shop.lab.project, ENV, "items")

        # when
        shop.pass_minutes(20)
        assert shop.lab.lens.status is LensStatus.ERROR
        servers.execute(shop.url, grant)
        shop.pass_minutes(20)

        # then
        assert shop.in_sync
    finally:
        shop.lab.project.registry.close()
        servers.execute(shop.url, f"DROP OWNED BY {user}", f"DROP ROLE {user}")


def test_a_guard_tells_an_empty_moment_from_rows_that_somebody_deleted(shop: Shop) -> None:
    def synced(kind: type[GuardStopped]) -> Failing:
        with pytest.raises(GuardStopped) as stopped:
            shop.lab.sync()
        assert type(stopped.value) is kind
        failing = shop.failing
        assert failing is not None
        return failing

    # given
    servers.execute(shop.url, "CREATE TABLE kept AS SELECT * FROM items")
    servers.execute(shop.url, "DELETE FROM items")

    # then the one may pass, and the other asks for a person; both are looked at again
    assert "tried again in" in synced(EmptySource).told(shop.time.now)
    servers.execute(shop.url, "INSERT INTO items SELECT * FROM kept WHERE id <= 100")
    deleted = synced(GuardStopped)
    assert deleted.told(shop.time.now).startswith("needs you; tried again in")
    assert "--confirm-deletes" in (shop.lab.lens.cure or "")

    # and however long nobody answers, nothing is deleted
    shop.pass_minutes(300)
    assert shop.lab.index.count() == 300
    assert shop.lab.lens.needs_you
    resumed = lifecycle.resume(shop.lab.project, ENV, "items", confirmed=True).job
    assert resumed is not None
    shop.pass_minutes(1)
    assert shop.in_sync
    assert shop.lab.index.count() == 100


def test_an_answer_that_stays_the_same_for_long_needs_a_person_too(shop: Shop) -> None:
    servers.execute(shop.url, "ALTER TABLE items RENAME COLUMN name TO title")
    lifecycle.request_sync(shop.lab.project, ENV, "items")

    shop.pass_minutes(10)
    assert not shop.lab.lens.needs_you
    shop.pass_minutes(int(MOMENT / timedelta(minutes=1)) * 2)

    assert shop.lab.lens.needs_you
    failing = shop.failing
    assert failing is not None
    assert failing.next_try is not None


def test_a_person_who_asks_does_not_wait_for_the_next_try(shop: Shop) -> None:
    shop.proxy.cut()
    lifecycle.request_sync(shop.lab.project, ENV, "items")
    shop.pass_minutes(120)
    shop.proxy.mend()

    # when
    job = lifecycle.request_sync(shop.lab.project, ENV, "items")

    # then it is the job that waited, and it is due
    assert job.due_at <= shop.time.now
    shop.pass_minutes(1)
    assert shop.in_sync


def test_a_lens_that_was_paused_meanwhile_stays_paused(shop: Shop) -> None:
    def pause(_: Sequence[str]) -> None:
        lifecycle.pause(shop.lab.project, ENV, "items")
        raise ModelUnavailable("The key was refused.")

    job = lifecycle.request_sync(shop.lab.project, ENV, "items")
    with pytest.raises(ModelUnavailable):
        run_job(Meddled.of(shop.lab.project, pause), job.id)

    assert shop.lab.lens.status is LensStatus.PAUSED


def test_callers_who_never_rest_do_not_have_a_broken_source_asked_again_and_again(
    shop: Shop,
) -> None:
    # given a caller who names a row every ten seconds, also while a run is at work
    def call() -> Job:
        with shop.lab.project.registry.begin() as db:
            lens = shop.lab.lens
            changes.append(db, lens.id, [("7", Action.UPSERT)], shop.time.now)
            return jobs.request(
                db, lens, Mode.RECORDS, job_id=uuid4().hex, origin="t", now=shop.time.now
            ).job

    def called_meanwhile(_: Sequence[str]) -> None:
        call()
        shop.proxy.cut()

    tried = 0
    for _ in range(6 * 60):
        shop.time.now += timedelta(seconds=10)
        call()
        with shop.lab.project.registry.read() as db:
            due = jobs.due(db, shop.time.now)
        for job in due:
            tried += 1
            # when the source goes away under it
            with pytest.raises(SourceUnreachable):
                run_job(Meddled.of(shop.lab.project, looking=called_meanwhile), job.id)
            shop.proxy.mend()

    # then it was asked a few times in that hour, the lens says so, and nothing is lost
    assert 3 < tried < 10
    failing = shop.lab.lens
    assert failing.status is LensStatus.ERROR
    shop.pass_minutes(61)
    assert shop.lab.lens.status is LensStatus.READY
    with shop.lab.project.registry.read() as db:
        assert changes.buffered(db, shop.lab.lens.id) == 0


def test_a_long_rebuild_that_gets_on_between_its_failures_is_not_made_to_wait_longer(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=4_000)
    job, calls = lifecycle.request_rebuild(lab.project, ENV, "items"), list[int]()

    def every_other(_: Sequence[str]) -> None:
        calls.append(1)
        if len(calls) % 3 == 0:
            raise EmbedderUnavailable("gone for a moment")

    flaky = Meddled.of(lab.project, every_other)
    failures = 0
    while lab.lens.status is not LensStatus.READY:
        try:
            run_job(flaky, job.id)
        except EmbedderUnavailable:
            failures += 1
            with lab.project.registry.read() as db:
                now = jobs.get(db, job.id)
            assert (now.status, now.attempt) == (JobStatus.QUEUED, 2)
            assert lab.lens.status is LensStatus.INDEXING
    assert failures >= 2
    assert lab.audit().clean


def test_a_request_that_cannot_be_done_is_no_fault_of_the_lens(shop: Shop) -> None:
    # given a lens whose table has nothing that tells what changed, and a job for just that
    job = shop.lab.request(Mode.INCREMENTAL)

    # when
    with pytest.raises(SemilayerError, match="column that moves with every change"):
        run_job(shop.lab.project, job.id)

    # then
    with shop.lab.project.registry.read() as db:
        assert jobs.get(db, job.id).status is JobStatus.FAILED
    assert (shop.lab.lens.status, shop.lab.lens.error) == (LensStatus.READY, None)


def test_a_tracked_column_an_interval_and_a_field_in_one_push_go_together(tmp_path: Path) -> None:
    # given a lens that knew no tracked column
    lab = Lab.at(tmp_path, rows=50, fields=FIELDS)
    with lab.source() as db:
        db.execute("ALTER TABLE items ADD COLUMN moved INTEGER")
        db.execute("UPDATE items SET moved = id")
    lab.full()

    # when it gets one, and a field that takes a rebuild, and its walk comes before that
    wider = FIELDS | {"price": {"type": "number"}}
    lab.push(fields=wider, changeTrackingColumn="moved", syncInterval="1m")
    assert lab.lens.needs is Needs.REBUILD
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved', moved = 1000 WHERE id = 7")
    lab.run(lab.request(Mode.INCREMENTAL))

    # then the index is kept in sync as it was built, and the rebuild goes on from there
    assert lab.lens.status is LensStatus.READY
    found = lab.index.get("7")
    assert found is not None
    assert found["name"] == "moved"
    assert "price" not in found
    lab.full()
    assert lab.audit().clean
