"""The write lock where writers are on several machines: one of a real PostgreSQL's."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry.engine import make_engine
from semilayer_pipelines.stores.shared_lock import SharedLock
from tests.patience import PATIENCE_SECONDS

HOLD = """
import sys, time
from semilayer_pipelines.registry.engine import make_engine
from semilayer_pipelines.stores.shared_lock import SharedLock
with SharedLock(make_engine(sys.argv[1], pooled=False), "a").hold():
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def engine(postgres_database: str) -> Engine:
    return make_engine(postgres_database, pooled=False)


def test_writers_take_turns_and_other_names_do_not_meet(engine: Engine) -> None:
    inside, most = 0, 0

    def write(_: int) -> None:
        nonlocal inside, most
        with SharedLock(engine, "a").hold():
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(12)))
    assert most == 1
    with SharedLock(engine, "a").hold(), SharedLock(engine, "b", wait_s=0.2).hold():
        assert SharedLock(engine, "b").held_by_this_thread


def test_it_is_not_taken_twice_by_one_thread_and_is_given_back_by_a_failed_block(
    engine: Engine,
) -> None:
    with (
        SharedLock(engine, "a").hold(),
        pytest.raises(RuntimeError, match="already"),
        SharedLock(engine, "a").hold(),
    ):
        pass
    with pytest.raises(KeyError), SharedLock(engine, "a").hold():
        raise KeyError
    with SharedLock(engine, "a", wait_s=0.2).hold():
        pass


def test_waiting_is_bounded_and_says_so(engine: Engine) -> None:
    release = threading.Event()
    taken = threading.Event()

    def hold() -> None:
        with SharedLock(engine, "a").hold():
            taken.set()
            release.wait(PATIENCE_SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert taken.wait(PATIENCE_SECONDS)
        with pytest.raises(StoreUnavailable, match="not free within"), _soon(engine).hold():
            pass
    finally:
        release.set()
        thread.join()


def test_a_timeout_of_the_role_does_not_end_the_wait(engine: Engine) -> None:
    with engine.connect() as admin:
        (name,) = admin.execute(text("SELECT current_database()")).one()
        admin.execute(text(f"ALTER DATABASE \"{name}\" SET statement_timeout = '100ms'"))
        admin.commit()
    with ThreadPoolExecutor(1) as pool:
        with SharedLock(engine, "a").hold():
            waiting = pool.submit(_taken, SharedLock(engine, "a", wait_s=PATIENCE_SECONDS))
            time.sleep(0.5)
        assert waiting.result()


def test_a_killed_holder_frees_it_at_once(engine: Engine, postgres_database: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, postgres_database], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "begun\n"
    with pytest.raises(StoreUnavailable), _soon(engine).hold():
        pass
    holder.kill()
    holder.wait()
    with SharedLock(engine, "a", wait_s=PATIENCE_SECONDS).hold():
        pass


def test_a_holder_learns_that_it_lost_the_lock(engine: Engine) -> None:
    lock = SharedLock(engine, "a")
    with lock.hold():
        lock.confirm()
        with engine.connect() as admin:
            admin.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                    " AND database = (SELECT oid FROM pg_database WHERE datname ="
                    " current_database())"
                )
            )
        # However often somebody asks, who tries again or has two requests under way.
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="was lost"):
                lock.confirm()
    with SharedLock(engine, "a", wait_s=PATIENCE_SECONDS).hold():
        pass


def test_a_project_whose_registry_is_shared_shares_its_locks_too(
    postgres_database: str, tmp_path: Path
) -> None:
    def locks(url: str) -> object:
        environ = {"SEMILAYER_REGISTRY_URL": url}
        return Project(Settings.from_environ(environ, tmp_path), environ)._shared_locks

    assert locks(postgres_database) is not None
    assert locks(f"sqlite:///{tmp_path}/registry.db") is None


def _taken(lock: SharedLock) -> bool:
    with lock.hold():
        return lock.held_by_this_thread


def _soon(engine: Engine) -> SharedLock:
    return SharedLock(engine, "a", wait_s=0.3)
