"""`semilayer cdc` and `semilayer follow`, as a person and a probe use them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cli.project import SEMILAYER, Folder
from tests.follow.site import FIELDS
from tests.patience import PATIENCE_SECONDS, eventually


@pytest.fixture
def folder(
    tmp_path: Path, logical_database: str, application: psycopg.Connection
) -> Iterator[Folder]:
    """A pushed project over a table whose source says `cdc`; nothing stays installed."""
    application.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    folder = Folder.at(tmp_path)
    folder.write(
        lenses={"items": {"fields": FIELDS}},
        url=logical_database.replace("postgresql+psycopg", "postgresql"),
    )
    says_cdc(folder, "logical")
    assert folder.run("push").exit_code == 0
    yield folder
    folder.run("cdc", "uninstall")


def says_cdc(folder: Folder, kind: str) -> None:
    file = folder.path / "sl.config.yaml"
    config = json.loads(file.read_text())
    config["sources"]["main"]["cdc"] = kind
    file.write_text(json.dumps(config))


def made(application: psycopg.Connection) -> int:
    [(slots,)] = application.execute(
        "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    ).fetchall()
    return int(slots)


def test_from_a_push_to_a_followed_source_and_back(
    folder: Folder, application: psycopg.Connection
) -> None:
    # Given that nothing is installed, which a probe says
    probed = folder.run("cdc", "status", "--check")
    for unknown in (("--source", "mian"), ("--env", "staging")):
        assert folder.run("cdc", "status", "--check", *unknown).exit_code == 2
    assert (probed.exit_code, "nothing is installed" in probed.stderr) == (3, True)

    # When it is looked at, and installed twice
    dry = folder.run("cdc", "install", "--dry-run")
    assert 'FOR TABLE "public"."items"' in dry.stdout
    assert made(application) == 0
    installed = folder.run("cdc", "install")
    assert "pg_create_logical_replication_slot" in installed.stdout
    assert made(application) == 1
    assert "everything is there" in folder.run("cdc", "install").stdout
    assert folder.run("cdc", "status", "--check").exit_code == 3

    # And followed
    command: list[str | Path] = [SEMILAYER, "follow", "--env", "development"]
    with subprocess.Popen(
        command, cwd=folder.path, env=folder.full_environ, stdout=subprocess.PIPE, text=True
    ) as follower:
        eventually(lambda: folder.json("status")["feeds"][0]["lagBytes"] is not None)
        assert folder.run("cdc", "status", "--check").exit_code == 0
        shown = folder.run("status").stdout
        [feed] = folder.json("status")["feeds"]
        follower.send_signal(signal.SIGTERM)
        said, _ = follower.communicate(timeout=PATIENCE_SECONDS)

    # Then all of it is told, and it ends well
    assert follower.returncode == 0
    assert "following 1 tables" in said
    assert "main: cdc logical; followed, " in shown
    assert (feed["source"], feed["trouble"], feed["restarts"]) == ("main", None, 0)

    # And it is taken away
    assert "DROP PUBLICATION" in folder.run("cdc", "uninstall").stdout
    assert made(application) == 0
    assert folder.json("status")["feeds"] == []


def test_what_would_break_the_application_is_refused_with_the_cure(
    folder: Folder, application: psycopg.Connection
) -> None:
    application.execute("ALTER TABLE items REPLICA IDENTITY NOTHING")

    refused = folder.run("cdc", "install")

    assert refused.exit_code == 3
    assert "every UPDATE and DELETE of it would fail" in refused.stderr
    assert "REPLICA IDENTITY FULL" in refused.stderr
    assert made(application) == 0


def test_sqlite_has_no_log_to_follow(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=1)
    assert folder.run("push").exit_code == 0
    nobody = folder.run("cdc", "install")
    assert (nobody.exit_code, "says how it is followed" in nobody.stderr) == (2, True)

    says_cdc(folder, "logical")
    assert folder.run("push").exit_code == 0
    refused = folder.run("cdc", "install")

    assert refused.exit_code == 2
    assert "`cdc: logical` is for PostgreSQL" in refused.stderr


def test_a_push_says_what_to_do_when_a_source_is_followed_otherwise(folder: Folder) -> None:
    says_cdc(folder, "outbox")
    otherwise = folder.run("push").stdout
    again = folder.run("push").stdout

    assert "source     main: cdc: outbox, was logical" in otherwise
    assert "semilayer cdc uninstall --source main" in otherwise
    assert "semilayer cdc install --source main" in otherwise
    assert "cdc" not in again


def test_what_was_installed_in_a_database_that_is_gone_can_be_forgotten(
    folder: Folder, application: psycopg.Connection
) -> None:
    # Given a source that was installed, and whose variable leads elsewhere by now
    file = folder.path / "sl.config.yaml"
    config = json.loads(file.read_text())
    folder.environ["SHOP"] = config["sources"]["main"]["connection"]
    config["sources"]["main"]["connection"] = "${SHOP}"
    file.write_text(json.dumps(config))
    assert folder.run("push").exit_code == 0
    assert folder.run("cdc", "install").exit_code == 0
    for elsewhere, exit_code in (("sqlite:///new.db", 2), ("postgresql://127.0.0.1:1/shop", 4)):
        folder.environ["SHOP"] = elsewhere

        # When it is uninstalled, then the answer says how to forget it
        refused = folder.run("cdc", "uninstall")
        assert refused.exit_code == exit_code, refused.output
        assert "semilayer cdc uninstall --source main --forget" in refused.stderr

    # And then it is forgotten, and nothing else is
    assert folder.run("cdc", "uninstall", "--forget").exit_code == 2
    told = folder.run("cdc", "uninstall", "--source", "main", "--forget").stdout
    assert "by hand" in told
    assert folder.run("cdc", "uninstall").stdout.strip() == "Nothing is installed."
    assert made(application) > 0
    [slot] = [word for word in told.split() if word.startswith("semilayer_")]
    application.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    application.execute(f"DROP PUBLICATION {slot}")


def test_nothing_that_is_still_installed_is_forgotten(
    folder: Folder, application: psycopg.Connection
) -> None:
    # Given a source that is installed
    assert folder.run("cdc", "install").exit_code == 0

    # When it leaves the file, is to be followed otherwise, or its environment is deleted
    says_cdc(folder, "outbox")
    assert folder.run("push").exit_code == 0
    otherwise = folder.run("cdc", "install")
    file = folder.path / "sl.config.yaml"
    named = file.read_text().replace('"main"', '"shop"')
    file.write_text(named)
    gone = folder.run("push", "--skip-confirmation-dangerously")
    deleted = folder.run("envs", "delete", "development", "--allow-deletes")

    # Then each says what to do first
    for refused in (otherwise, gone, deleted):
        assert refused.exit_code == 3, refused.output
        assert "semilayer cdc uninstall" in refused.stderr
    assert folder.run("cdc", "uninstall").exit_code == 0
    assert made(application) == 0


def test_a_kind_that_the_database_has_not_leaves_the_way_free_for_another(
    folder: Folder, application: psycopg.Connection
) -> None:
    # Given an install that could never work, tried and looked at
    says_cdc(folder, "binlog")
    folder.run("push")
    for arguments in ((), ("--dry-run",)):
        refused = folder.run("cdc", "install", *arguments)
        assert (refused.exit_code, "is for MySQL and MariaDB" in refused.stderr) == (2, True)

    # When the file names a kind that fits
    says_cdc(folder, "logical")
    folder.run("push")

    # Then it is installed, with nothing to be taken away first
    assert folder.run("cdc", "install").exit_code == 0
    assert made(application) == 1


def test_before_the_first_push_the_next_step_is_said(tmp_path: Path) -> None:
    found = Folder.at(tmp_path).run("cdc", "status")

    assert "The first push makes one" in found.stderr
