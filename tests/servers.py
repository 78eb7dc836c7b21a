"""Database servers for the tests: given by the environment, found on this machine, or started here.

Every session works in a database of its own that it drops again. A server started here lives in a
temporary folder on a free port and is stopped by its own process id. Where there is none, tests are
skipped with the reason, or fail when SEMILAYER_TEST_NO_SKIP=1.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from semilayer_pipelines.dev.supervisor import free_port
from tests.patience import PATIENCE_SECONDS

_PREFIX = "semilayer_test_"
_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"


@functools.cache
def postgres_url() -> str:
    """Return the URL of a PostgreSQL server whose user may create databases."""
    return _find(
        "SEMILAYER_TEST_POSTGRES_URL",
        _POSTGRES,
        _start_postgres,
    )


def running_postgres() -> str | None:
    """Return the URL of a PostgreSQL server that runs already, with its own settings."""
    return os.environ.get("SEMILAYER_TEST_POSTGRES_URL") or (
        _POSTGRES if _answers(_POSTGRES) else None
    )


@functools.cache
def mariadb_url() -> str:
    """Return the URL of a MariaDB (or MySQL) server whose user may create databases."""
    return _find(
        "SEMILAYER_TEST_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/mysql", _start_mariadb
    )


@functools.cache
def logical_postgres_url() -> str:
    """Return the URL of a PostgreSQL server that decodes its log (wal_level = logical)."""
    usual = os.environ.get("SEMILAYER_TEST_LOGICAL_POSTGRES_URL")
    if usual:
        return (
            make_url(usual)
            .set(drivername="postgresql+psycopg")
            .render_as_string(hide_password=False)
        )
    started = _start_postgres("wal_level=logical", "wal_sender_timeout=10s")
    if started is not None:
        return started
    return missing("no server programs of PostgreSQL to start one with wal_level = logical")


@functools.cache
def logging_mariadb_url() -> str:
    """Return the URL of a MariaDB server that writes a binary log with all that a reader needs."""
    usual = os.environ.get("SEMILAYER_TEST_LOGGING_MARIADB_URL")
    if usual:
        return make_url(usual).set(drivername="mysql+pymysql").render_as_string(hide_password=False)
    logging = ["--log-bin=bin", "--server-id=7", "--binlog-format=ROW"]
    started = _start_mariadb(*logging, "--binlog-row-metadata=FULL", "--binlog-row-image=MINIMAL")
    if started is not None:
        return started
    return missing("no server program of MariaDB to start one with a binary log")


@contextlib.contextmanager
def database(server: str) -> Iterator[str]:
    """Create a throwaway database, yield its URL, and drop it."""
    name = f"{_PREFIX}{uuid.uuid4().hex[:12]}"
    url = make_url(server).set(database=name)
    postgres = url.get_backend_name() == "postgresql"
    execute(server, f"CREATE DATABASE {name}" + ("" if postgres else " CHARACTER SET utf8mb4"))
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        execute(server, f"DROP DATABASE {name}" + (" WITH (FORCE)" if postgres else ""))


def emptied(url: str) -> str:
    """Remove everything from a throwaway database; some milliseconds."""
    name = make_url(url).database
    assert name is not None
    assert name.startswith(_PREFIX), "refusing to empty a database that the tests did not create"
    if make_url(url).get_backend_name() == "postgresql":
        execute(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    else:
        execute(url, f"DROP DATABASE {name}", f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return url


def execute(url: str, *statements: str) -> None:
    """Run statements, each in its own transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=_timeout(url))
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement.replace(":", "\\:")))
    finally:
        engine.dispose()


def _timeout(url: str) -> dict[str, int]:
    return {} if url.startswith("sqlite") else {"connect_timeout": 30}


def _find(variable: str, usual: str, start: Callable[[], str | None]) -> str:
    given = os.environ.get(variable)
    if given:
        url = make_url(given)
        driver = {"postgresql": "postgresql+psycopg"}.get(url.get_backend_name(), "mysql+pymysql")
        return url.set(drivername=driver).render_as_string(hide_password=False)
    if _answers(usual):
        return usual
    started = start()
    if started is not None:
        return started
    return missing(
        f"no server: {variable} is not set, nothing answers at the usual port, and no server "
        "program was found to start one"
    )


def missing(reason: str) -> NoReturn:
    if os.environ.get("SEMILAYER_TEST_NO_SKIP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _answers(url: str) -> bool:
    try:
        execute(url, "SELECT 1")
    except SQLAlchemyError:
        return False
    return True


def _start_postgres(*settings: str) -> str | None:
    folder = program_folder("postgres", sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1])
    if folder is None or not (folder / "initdb").exists():
        return None
    home, user, port = new_home("postgres"), server_user("postgres"), free_port()
    data = home / "data"
    initdb: list[str | Path] = [
        folder / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth=trust",
        "-E",
        "UTF8",
    ]
    _complete([*initdb, "--no-sync", "--locale=C.UTF-8"], user)
    server: list[str | Path] = [folder / "postgres", "-D", data, "-p", str(port), "-k", home, "-F"]
    server += [part for setting in settings for part in ("-c", setting)]
    _serve(server, user, home, signal.SIGQUIT)
    return when_up(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres", home)


def _start_mariadb(*settings: str) -> str | None:
    name = next((n for n in ("mariadbd", "mysqld") if program_folder(n, _SBIN)), None)
    install = program_folder("mariadb-install-db", _SBIN)
    if name is None or install is None:
        return None
    folder = program_folder(name, _SBIN)
    assert folder is not None
    home, user, port = new_home("mariadb"), server_user("mysql"), free_port()
    data = f"--datadir={home / 'data'}"
    normal = "--auth-root-authentication-method=normal"
    # An anonymous user of this host, which comes with the test database, would stand before every
    # user that a test makes for any host: the server takes who logs in for the anonymous one.
    made: list[str | Path] = [install / "mariadb-install-db", "--no-defaults", data, normal]
    # Its temporary tables have the number of its process, which another container may have, too.
    own = f"--tmpdir={home}"
    _complete([*made, "--skip-test-db", own], user)
    server: list[str | Path] = [folder / name, "--no-defaults", data, f"--port={port}", own]
    server += ["--bind-address=127.0.0.1", f"--socket={home / 's'}"]
    server += [f"--pid-file={home / 'pid'}", *(settings or ("--skip-log-bin",))]
    _serve([*server, "--innodb-flush-log-at-trx-commit=0"], user, home, signal.SIGKILL)
    return when_up(f"mysql+pymysql://root@127.0.0.1:{port}/mysql", home)


_SBIN = [Path("/usr/sbin"), Path("/usr/bin"), Path("/usr/local/sbin"), Path("/usr/libexec")]


def program_folder(name: str, folders: Sequence[Path]) -> Path | None:
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path).resolve().parent
    return next((folder for folder in folders if (folder / name).exists()), None)


def server_user(preferred: str) -> str | None:
    # Database servers refuse to run as root.
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in (preferred, "nobody") if name in known), None)


def new_home(name: str) -> Path:
    home = Path(tempfile.mkdtemp(prefix=f"semilayer-{name}-"))
    user = server_user({"postgres": "postgres"}.get(name, "mysql"))
    if user is not None:
        shutil.chown(home, user)
    return home


def _complete(command: Sequence[str | Path], user: str | None) -> None:
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{command[0]} failed: {done.stdout[-500:]} {done.stderr[-500:]}")


def _serve(
    command: Sequence[str | Path], user: str | None, home: Path, stop: signal.Signals
) -> None:
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, user=user, cwd="/", stdout=log, stderr=log)

    def end() -> None:
        server.send_signal(stop)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(home, ignore_errors=True)

    _ends.callback(end)


_ends = contextlib.ExitStack()
atexit.register(_ends.close)


def end_all() -> None:
    """End the servers that were started here, at once: nobody needs their data any more.

    Not at the exit of a process of xdist, which is killed when it takes more than some seconds.
    """
    _ends.close()


def when_up(url: str, home: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _answers(url):
        if time.monotonic() > deadline:
            pytest.fail(f"server did not start: {(home / 'log').read_text()[-1000:]}")
        time.sleep(0.1)
    return url
