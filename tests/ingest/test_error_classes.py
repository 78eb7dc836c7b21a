"""Every class of failure, made by breaking the real thing: what is said, tried again, and mended.

The table has one entry a class. A case breaks something under a lens that is in sync, and mends it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from semilayer_pipelines.errors import (
    DimensionChanged,
    EmbedderUnavailable,
    ModelUnavailable,
    SchemaMismatch,
    SemilayerError,
    SourceRefused,
    SourceUnreachable,
    StoreFull,
    StoreUnavailable,
    Transient,
)
from semilayer_pipelines.ingest import retry
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import failed_rows, jobs
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.jobs.endings import MAX_ATTEMPTS
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH
from tests import servers
from tests.embedders.endpoint import Endpoint, Reply, serve
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.proxy import Proxy

FIELDS = {"name": {"type": "text", "searchable": True}, "price": {"type": "number"}}
PASSWORD = "not-to-be-shown"
MIB = 2**20


@dataclass(frozen=True)
class Broken:
    """A lens with something broken under it: the project to run in, and what mends it."""

    lab: Lab
    project: Project
    mend: Callable[[], None]


Breaks = Callable[[pytest.FixtureRequest, Path], AbstractContextManager[Broken]]


def table(url: str) -> None:
    """Make the table of the lens with three rows."""
    servers.execute(
        url,
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name VARCHAR(50), price FLOAT)",
        "INSERT INTO items VALUES (1, 'amber', 1), (2, 'anchor', 2), (3, 'apple', 3)",
    )


def in_line(folder: Path, connection: str, **lens: object) -> Lab:
    """Return a lens over that table with an index, of which a row has changed since."""
    settings = Settings.from_environ({"SEMILAYER_ENV": ENV}, folder)
    environ = {"SHOP_URL": connection, "KEY": "k"}
    lab = Lab(Project(settings, environ), folder, connection="${SHOP_URL}")
    lab.push(**({"fields": FIELDS} | lens))
    lab.full()
    return lab


def changed(url: str) -> None:
    servers.execute(url, "UPDATE items SET name = 'new' WHERE id = 2")


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/source.db"


@contextmanager
def a_stopped_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[Broken]:
    url = servers.emptied(request.getfixturevalue("postgres_database"))
    table(url)
    server = make_url(url)
    proxy = Proxy(server.host or "127.0.0.1", server.port or 5432)
    through = server.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
    lab = in_line(folder, through.render_as_string(hide_password=False))
    changed(url)
    proxy.cut()
    yield Broken(lab, lab.project, proxy.mend)
    proxy.cut()


@contextmanager
def a_changed_password(request: pytest.FixtureRequest, folder: Path) -> Iterator[Broken]:
    url = servers.emptied(request.getfixturevalue("mariadb_database"))
    table(url)
    server, name = make_url(url), "semilayer_test_user"
    user = f"{name}@'{_host_seen(url)}'"
    told = f"ALTER USER {user} IDENTIFIED BY"
    servers.execute(
        url,
        f"DROP USER IF EXISTS {user}",
        f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}'",
        f"GRANT SELECT ON {server.database}.* TO {user}",
    )
    given = server.set(drivername="mysql", username=name, password=PASSWORD)
    lab = in_line(folder, given.render_as_string(hide_password=False))
    changed(url)
    servers.execute(url, f"{told} 'another'")
    yield Broken(lab, lab.project, lambda: servers.execute(url, f"{told} '{PASSWORD}'"))
    servers.execute(url, f"DROP USER {user}")


def _host_seen(url: str) -> str:
    """Return the host that a MySQL server sees this process come from.

    An anonymous user of that very host stands before any user of `%`, and many a server has one.
    """
    engine = create_engine(url)
    try:
        with engine.connect() as db:
            return str(db.scalar(text("SELECT SUBSTRING_INDEX(USER(), '@', -1)")))
    finally:
        engine.dispose()


@contextmanager
def a_dropped_column(_: pytest.FixtureRequest, folder: Path) -> Iterator[Broken]:
    table(sqlite(folder))
    lab = in_line(folder, sqlite(folder))
    servers.execute(sqlite(folder), "ALTER TABLE items DROP COLUMN price")
    back = "ALTER TABLE items ADD COLUMN price FLOAT"
    yield Broken(lab, lab.project, lambda: servers.execute(sqlite(folder), back))


@contextmanager
def an_endpoint(folder: Path, *replies: Reply) -> Iterator[Broken]:
    """Let the embedding endpoint answer so when it is asked next."""
    table(sqlite(folder))
    with serve() as endpoint:
        embedding = {"provider": "openai", "model": "m", "url": endpoint.url, "apiKey": "${KEY}"}
        lab = in_line(folder, sqlite(folder), embedding=embedding)
        changed(sqlite(folder))
        endpoint.replies.extend(replies)
        yield Broken(lab, lab.project, lambda: _answers_again(endpoint))


def _answers_again(endpoint: Endpoint) -> None:
    endpoint.replies.clear()


def a_busy_endpoint(_: pytest.FixtureRequest, folder: Path) -> AbstractContextManager[Broken]:
    # It asks to be left alone for so long that the run does not wait for it.
    busy = [Reply(429, b"{}", {"retry-after": "7200"}), Reply(503, b"", {"retry-after": "7200"})]
    return an_endpoint(folder, *busy, *busy)


def a_refused_key(_: pytest.FixtureRequest, folder: Path) -> AbstractContextManager[Broken]:
    return an_endpoint(folder, Reply(401, b'{"error": {"message": "bad key"}}'))


def another_dimension(_: pytest.FixtureRequest, folder: Path) -> AbstractContextManager[Broken]:
    body = b'{"data": [{"index": 0, "embedding": [1, 2, 3, 4, 5]}]}'
    return an_endpoint(folder, Reply(200, body))


@contextmanager
def a_store_that_is_away(_: pytest.FixtureRequest, folder: Path) -> Iterator[Broken]:
    """A store in a folder has no network that could be cut: a double says so in its place."""
    table(sqlite(folder))
    lab = in_line(folder, sqlite(folder))
    changed(sqlite(folder))

    def away(verb: str) -> None:
        if verb == "lock":
            raise StoreUnavailable("The store does not answer.", cure="Start it.")

    yield Broken(lab, Meddled.of(lab.project, before=away), lambda: None)


@contextmanager
def a_mounted_store(folder: Path) -> Iterator[tuple[Lab, Path]]:
    """Yield a lens whose index is on a file system of its own, of 8 MiB."""
    home = folder / ".semilayer" / "lance"
    home.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(home)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        table(sqlite(folder))
        lab = in_line(folder, sqlite(folder))
        changed(sqlite(folder))
        yield lab, home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


@contextmanager
def a_full_disk(_: pytest.FixtureRequest, folder: Path) -> Iterator[Broken]:
    with a_mounted_store(folder) as (lab, home):
        ballast = home / "ballast"
        with contextlib.suppress(OSError):
            ballast.write_bytes(bytes(9 * MIB))
        assert shutil.disk_usage(home).free < MIB // 100
        yield Broken(lab, lab.project, ballast.unlink)


@contextmanager
def a_read_only_disk(_: pytest.FixtureRequest, folder: Path) -> Iterator[Broken]:
    with a_mounted_store(folder) as (lab, home):

        def remounted(how: str) -> None:
            subprocess.run(["mount", "-o", f"remount,{how}", str(home)], check=True)

        remounted("ro")
        yield Broken(lab, lab.project, lambda: remounted("rw"))


@dataclass(frozen=True)
class ErrorClass:
    """What is told of a failure: its kind, words of the message, words of the cure."""

    breaks: Breaks
    kind: type[SemilayerError]
    says: str
    cure: str

    @property
    def attempts(self) -> int:
        """How often the job fails before the lens says `error`."""
        return MAX_ATTEMPTS if issubclass(self.kind, Transient) else 1


CLASSES = {
    "source unreachable": ErrorClass(
        a_stopped_database, SourceUnreachable, "cannot be reached", "check that the database is up"
    ),
    "source refuses": ErrorClass(
        a_changed_password, SourceRefused, "Access denied", "Check the user, its password"
    ),
    "schema mismatch": ErrorClass(
        a_dropped_column, SchemaMismatch, "'price'", "It has the columns id, name"
    ),
    "embedding busy": ErrorClass(a_busy_endpoint, EmbedderUnavailable, "429", ""),
    "embedding refused": ErrorClass(a_refused_key, ModelUnavailable, "401", "key"),
    "embedding dimension": ErrorClass(another_dimension, DimensionChanged, "5", "ebuild"),
    "store unreachable": ErrorClass(
        a_store_that_is_away, StoreUnavailable, "does not answer", "Start it"
    ),
    "store full": ErrorClass(a_full_disk, StoreFull, "no room", "Free disk space"),
    "store read-only": ErrorClass(a_read_only_disk, StoreFull, "cannot be written", "writable"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_failure_is_told_tried_again_as_often_as_it_may_pass_and_made_up_for(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.0)
    case = CLASSES[name]
    with case.breaks(request, tmp_path) as broken:
        lab = broken.lab
        job = lab.request(Mode.SMART_SYNC)

        # when the sync is run until its lens says what is wrong
        runs = 0
        while lab.lens.status is not LensStatus.ERROR:
            runs += 1
            with pytest.raises(case.kind) as raised:
                run_job(broken.project, job.id)

        # then its job and its lens say what is wrong and what to do, and show no password
        assert runs == case.attempts
        with lab.project.registry.read() as db:
            ended = jobs.get(db, job.id)
        assert ended.status is JobStatus.QUEUED
        assert case.says in (ended.error or "")
        assert case.cure in (ended.cure or "")
        failing = lab.lens
        assert (failing.status, failing.error) == (LensStatus.ERROR, ended.error)
        assert PASSWORD not in f"{raised.value}{ended.error}{ended.cure}"

        # and once it is mended, the same job does it, without a person, when its wait is over
        broken.mend()
        later = replace(lab.project, clock=lambda: ended.due_at)
        with lab.project.registry.read() as db:
            assert job.id in [one.id for one in jobs.due(db, later.clock())]
        run_job(later, job.id)
        mended = lab.lens
        assert mended.status is LensStatus.READY
        # By hashes: the endpoint of these tests gives a text another vector each time.
        wanted = lab.wanted().select(KEY, ROW_HASH).sort(KEY)
        assert lab.indexed().sort(KEY).equals(wanted)


def test_a_poison_row_is_set_aside_and_the_job_is_done(tmp_path: Path) -> None:
    table(sqlite(tmp_path))
    lab = in_line(tmp_path, sqlite(tmp_path))
    servers.execute(sqlite(tmp_path), "UPDATE items SET price = 'poison' WHERE id = 1")
    changed(sqlite(tmp_path))

    counts = lab.sync().counts

    assert (counts.written, counts.failed) == (1, 1)
    assert lab.lens.status is LensStatus.READY
    with lab.project.registry.read() as db:
        [row] = failed_rows.list_all(db, lab.lens.id, 10)
    assert (row.key, row.stage) == ("1", "mapping")
    assert "poison" in row.reason
