from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from semilayer_pipelines.errors import ConfigError, RegistryUnavailable
from semilayer_pipelines.registry import environments, tables
from semilayer_pipelines.registry.database import Registry
from tests import servers
from tests.patience import PATIENCE_SECONDS
from tests.registry.given import NOW
from tests.registry.race import threads_at_once


def slugs(registry: Registry) -> list[str]:
    with registry.read() as db:
        return [environment.slug for environment in environments.list_all(db)]


def test_an_exception_rolls_the_whole_transaction_back(registry: Registry) -> None:
    def add_two() -> None:
        with registry.begin() as db:
            environments.ensure(db, "staging", NOW)
            environments.ensure(db, "Not A Slug", NOW)

    with pytest.raises(ConfigError):
        add_two()

    assert slugs(registry) == []


def test_what_a_read_writes_is_not_kept(registry: Registry) -> None:
    with registry.read() as db:
        environments.ensure(db, "staging", NOW)

    assert slugs(registry) == []


def test_a_fault_of_ours_keeps_its_own_class(registry: Registry) -> None:
    same = {"slug": "a", "created_at": NOW}

    with pytest.raises(IntegrityError), registry.begin() as db:
        db.execute(tables.environments.insert(), [same, same])


def test_wrong_sql_is_not_taken_for_a_registry_that_is_away(registry: Registry) -> None:
    with pytest.raises(DBAPIError), registry.read() as db:
        db.execute(text("SELECT * FROM no_such_table"))


def test_transactions_that_read_and_then_write_never_fail_each_other(registry: Registry) -> None:
    def read_then_write(number: int) -> None:
        for turn in range(10):
            with registry.begin() as db:
                environments.list_all(db)
                environments.ensure(db, f"env-{number}-{turn}", NOW)

    threads_at_once(read_then_write)

    assert len(slugs(registry)) == 40


def test_a_forked_process_uses_connections_of_its_own(registry_url: str) -> None:
    program = f"""
import os
from datetime import UTC, datetime
from sqlalchemy import select, func
from semilayer_pipelines.registry import environments
from semilayer_pipelines.registry.database import Registry

now = datetime.now(UTC)
registry = Registry.open({registry_url!r})
with registry.begin() as db:
    environments.ensure(db, "before", now)
    of_the_parent = db.connection.dbapi_connection
child = os.fork()
if child == 0:
    with registry.begin() as db:
        environments.ensure(db, "child", now)
        inherited = db.connection.dbapi_connection is of_the_parent
    registry.close()
    os._exit(3 if inherited else 0)
_, status = os.waitpid(child, 0)
with registry.begin() as db:
    environments.ensure(db, "parent", now)
    print(status, [e.slug for e in environments.list_all(db)])
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "0 ['before', 'child', 'parent']", done.stderr


def test_times_come_back_as_they_were_in_utc(registry: Registry) -> None:
    elsewhere = datetime(2025, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=5, minutes=30)))

    with registry.begin() as db:
        environments.ensure(db, "a", elsewhere)
        kept = db.scalar(select(tables.environments.c.created_at))

    assert kept == elsewhere
    assert kept is not None
    assert kept.tzinfo is UTC
    assert kept.microsecond == 678901


def test_a_time_without_a_zone_is_refused(registry: Registry) -> None:
    with pytest.raises(Exception, match="time zone"), registry.begin() as db:
        environments.ensure(db, "a", datetime(2025, 1, 1))


def test_sqlite_is_in_wal_mode_and_keeps_foreign_keys(tmp_path: Path) -> None:
    registry = Registry.open(f"sqlite:///{tmp_path}/new/folders/registry.db")

    with registry.read() as db:
        asked = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        told = [db.execute(text(f"PRAGMA {name}")).scalar_one() for name in asked]
    registry.close()

    assert told == ["wal", 1, 1, 30_000]


def test_a_new_file_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    def open_and_read(url: str, _: int) -> list[str]:
        registry = Registry.open(url, migrate=False)
        with registry.begin() as db:
            mode = list(db.scalars(text("PRAGMA journal_mode")))
        registry.close()
        return mode

    for turn in range(40):  # without a retry about one turn in ten finds the file locked
        opened = partial(open_and_read, f"sqlite:///{tmp_path}/{turn}.db")
        assert threads_at_once(opened) == [["wal"]] * 4


def test_a_writer_waits_for_another_one(tmp_path: Path) -> None:
    registry = Registry.open(f"sqlite:///{tmp_path}/registry.db")
    writing = threading.Event()

    def hold() -> None:
        with registry.begin() as db:
            environments.ensure(db, "first", NOW)
            writing.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    assert writing.wait(PATIENCE_SECONDS)
    with registry.begin() as db:
        environments.ensure(db, "second", NOW)
    holder.join()

    assert slugs(registry) == ["first", "second"]
    registry.close()


def test_a_registry_locked_for_too_long_says_so_and_can_be_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    holder, other = Registry.open(url), Registry.open(f"{url}?timeout=0.1")

    with holder.begin() as held:
        environments.ensure(held, "held", NOW)
        with pytest.raises(RegistryUnavailable, match=r"locked.*try again"), other.begin():
            pass
        assert slugs(other) == []

    assert slugs(other) == ["held"]
    holder.close()
    other.close()


def test_a_file_that_is_no_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are notes, and quite long ones at that " * 50)

    with pytest.raises(RegistryUnavailable, match=r"notes\.db failed: file is not a database"):
        Registry.open(f"sqlite:///{tmp_path}/notes.db")


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    with pytest.raises(RegistryUnavailable) as caught:
        Registry.open("postgresql://anna:s3cret@127.0.0.1:1/registry")

    said = str(caught.value)
    assert "s3cret" not in said
    assert "anna:***@127.0.0.1:1/registry" in said
    assert "Check that the server runs" in said


def test_the_shown_url_hides_the_password() -> None:
    registry = Registry.open("postgresql://anna:s3cret@db.example/registry", migrate=False)

    assert registry.url_shown == "postgresql+psycopg://anna:***@db.example/registry"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:s3cret@127.0.0.1/registry", "cannot live in 'mysql'"),
        ("sqlite://", "cannot live in memory"),
        ("not a url with anna:s3cret", "is not a database URL"),
        ("://anna:s3cret@host", "is not a database URL"),
        ("s3cret", "is not a database URL"),
    ],
)
def test_a_url_we_cannot_use_is_refused_with_the_forms_we_can(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"postgresql://user:password@host/database") as caught:
        Registry.open(url)

    assert said in str(caught.value)


def test_only_what_must_survive_a_loss_of_power_waits_for_the_disk(tmp_path: Path) -> None:
    registry = Registry.open(f"sqlite:///{tmp_path}/registry.db")

    def level(transaction: AbstractContextManager[Connection]) -> int:
        with transaction as db:
            return int(db.scalar(text("PRAGMA synchronous")))

    # One connection of the pool serves them all, so that each must set its own.
    levels = [level(registry.begin(durable=True)), level(registry.begin())]
    levels += [level(registry.begin(durable=True)), level(registry.read())]
    registry.close()

    normal, full = 1, 2
    assert levels == [full, normal, full, normal]


def test_a_url_with_a_providers_parameters_opens_a_registry_in_its_schema() -> None:
    with servers.database(servers.postgres_url()) as url:
        servers.execute(url, 'CREATE SCHEMA "my app"')
        plain = make_url(url).set(drivername="postgres").render_as_string(hide_password=False)

        registry = Registry.open(
            f"{plain}?schema=my%20app&pgbouncer=true&connection_limit=1&sslmode=prefer"
        )

        with registry.read() as db:
            schemas = db.exec_driver_sql(
                "SELECT DISTINCT schemaname::text FROM pg_tables WHERE tablename LIKE 'sl_%%'"
            ).scalars()
            assert list(schemas) == ["my app"]
        registry.close()


def test_a_parameter_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigError, match=r"SEMILAYER_REGISTRY_URL.*'sslmod'.*'sslmode'"):
        Registry.open("postgresql://127.0.0.1:1/x?sslmod=require")
