"""A registry that restarts or fails over under a run costs the run a wait, not an attempt."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.ingest.lease import LEASE
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import database as module
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.engine import POOL_SIZE
from semilayer_pipelines.registry.jobs import JobStatus
from semilayer_pipelines.stores import shared_lock
from tests import servers
from tests.beside import beside
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.patience import eventually
from tests.proxy import Proxy
from tests.workload import create_items


@pytest.fixture
def server_url(postgres_database: str) -> str:
    return servers.emptied(postgres_database)


@pytest.fixture
def proxied(server_url: str, tmp_path: Path) -> Iterator[tuple[Lab, Proxy]]:
    """Yield a lens whose registry is a PostgreSQL that may go away."""
    server = make_url(server_url)
    proxy = Proxy(server.host or "127.0.0.1", server.port or 5432)
    through = server.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
    environ = {
        "SEMILAYER_ENV": ENV,
        "SEMILAYER_REGISTRY_URL": through.render_as_string(hide_password=False),
    }
    lab = Lab(Project(Settings.from_environ(environ, tmp_path), environ), tmp_path)
    create_items(lab.database, 1_000)
    lab.push()
    yield lab, proxy
    lab.project.registry.close()
    proxy.cut()


def attempts(lab: Lab, job_id: str) -> tuple[JobStatus, int]:
    with lab.project.registry.read() as db:
        job = jobs.get(db, job_id)
    return job.status, job.attempt


def test_a_connection_that_is_lost_after_its_read_fails_nobody(proxied: tuple[Lab, Proxy]) -> None:
    lab, proxy = proxied
    registry = lab.project.registry

    # As often as there are connections in the pool: one that was lost goes back as well.
    for _ in range(3 * POOL_SIZE):
        with registry.read() as db:
            assert db.scalar(text("SELECT 1")) == 1
            proxy.cut()
        proxy.mend()

    with registry.patiently(), registry.begin() as db:
        assert db.scalar(text("SELECT 1")) == 1


def test_a_failover_between_pages_costs_no_attempt(proxied: tuple[Lab, Proxy]) -> None:
    lab, proxy = proxied
    job, failovers = lifecycle.request_rebuild(lab.project, ENV, "items"), list[threading.Timer]()

    def fail_over(_: Sequence[str]) -> None:
        if len(failovers) < 2:
            proxy.cut()
            failovers.append(threading.Timer(0.7, proxy.mend))
            failovers[-1].start()

    run_job(Meddled.of(lab.project, fail_over), job.id)

    assert len(failovers) == 2
    assert attempts(lab, job.id) == (JobStatus.COMPLETED, 1)
    assert lab.audit().clean


def test_connections_that_are_ended_all_the_time_cost_no_attempt(
    proxied: tuple[Lab, Proxy], server_url: str
) -> None:
    # given somebody who ends every session of the registry but his own, over and over
    lab, _ = proxied
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    ended, rounds = 0, 0

    def end_sessions() -> None:
        nonlocal ended, rounds
        query = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'semilayer' AND datname = current_database()"
        )
        with engine.connect() as db:
            ended += db.scalar(query) or 0
        rounds += 1

    def wait_for_another_round(_: Sequence[str]) -> None:
        before = rounds
        eventually(lambda: rounds > before)

    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")
    job = lifecycle.request_sync(lab.project, ENV, "items")
    with beside(end_sessions, pause=0.2), contextlib.suppress(Exception):
        # A session that ends in the very commit, or under a write, may cost an attempt.
        run_job(Meddled.of(lab.project, wait_for_another_round), job.id)
    engine.dispose()

    # then nothing is lost, and it ends by itself
    assert ended > 1
    status, _ = attempts(lab, job.id)
    if status is not JobStatus.COMPLETED:
        run_job(lab.project, job.id)
    assert lab.audit().clean


def test_one_that_stays_away_ends_the_attempt_after_a_bounded_wait(
    proxied: tuple[Lab, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, proxy = proxied
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(shared_lock, "RECONNECT_S", 1.0)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    started = time.monotonic()
    with pytest.raises(RegistryUnavailable):
        run_job(Meddled.of(lab.project, lambda _: proxy.cut()), job.id)

    assert time.monotonic() - started > 1
    # and what it could not even say is found out when it has been silent for a while
    proxy.mend()
    run_job(Meddled.of(lab.project, later=2 * LEASE), job.id)
    assert lab.audit().clean


def test_nobody_else_waits_for_a_registry_that_is_away(
    proxied: tuple[Lab, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given patience that would outlast the suite
    lab, proxy = proxied
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 3_600.0)
    proxy.cut()

    with pytest.raises(RegistryUnavailable), lab.project.registry.read():
        raise AssertionError("there is nothing to read from")
    proxy.mend()


class AnswerLost:
    """Forwards one connection, and cuts it when a commit is on its way: its answer is lost."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.armed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._server)
            cutting = threading.Event()
            for pump in (self._asked, self._answered):
                threading.Thread(target=pump, args=(client, server, cutting), daemon=True).start()

    def _asked(
        self, client: socket.socket, server: socket.socket, cutting: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if self.armed and b"COMMIT" in data:
                    self.armed = False
                    cutting.set()
                server.sendall(data)

    def _answered(
        self, client: socket.socket, server: socket.socket, cutting: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                if cutting.is_set():  # the server has committed, and nobody hears of it
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


def test_a_commit_whose_answer_was_lost_is_not_made_twice(server_url: str) -> None:
    server = make_url(server_url)
    proxy = AnswerLost(server.host or "127.0.0.1", server.port or 5432)
    through = server.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
    registry = Registry.open(through.render_as_string(hide_password=False))
    servers.execute(server_url, "CREATE TABLE told (n INTEGER)")
    tried: list[int] = []

    def tell() -> None:
        def action(db: Connection) -> None:
            tried.append(1)
            db.execute(text("INSERT INTO told VALUES (1)"))

        with registry.patiently():
            registry.transact(action)

    def told() -> int:
        engine = create_engine(server_url)
        with engine.connect() as db:
            number = db.scalar(text("SELECT count(*) FROM told"))
        engine.dispose()
        return int(number or 0)

    tell()
    assert (told(), len(tried)) == (1, 1)
    proxy.armed = True

    with pytest.raises(RegistryUnavailable):
        tell()

    assert (told(), len(tried)) == (2, 2)
    registry.close()
