"""What goes wrong ends with a sentence, the right exit code, no traceback and no password."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import click
import pytest
from sqlalchemy import make_url

from semilayer_pipelines.cli.context import SemilayerGroup, exit_code, say
from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.errors import ConfigError, GuardStopped, SourceUnreachable, Terminal
from semilayer_pipelines.queries.search import similar
from tests.cli.conftest import run_queued
from tests.cli.project import Folder

SECRET = "s3cret-hunter2"


def told(folder: Folder, *arguments: str, code: int) -> str:
    """Run a command that has to end with this exit code; return what it says."""
    result = folder.run(*arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    return result.stderr


def test_the_exit_codes_are_one_a_kind_of_error() -> None:
    codes = [
        exit_code(error)
        for error in (Terminal("x"), ConfigError("x"), GuardStopped("x"), SourceUnreachable("x"))
    ]

    assert codes == [1, 2, 3, 4]


def test_a_missing_configuration_shows_the_shortest_one(tmp_path: Path) -> None:
    assert "lenses:\n" in told(Folder(tmp_path), "push", code=2)


def test_what_is_not_yaml_is_told_with_its_line(folder: Folder) -> None:
    (folder.path / "sl.config.yaml").write_text("stack: a\nsources: [\n")

    assert "sl.config.yaml:3" in told(folder, "push", code=2)


def test_a_wrong_key_is_told_with_its_line_and_the_nearest(folder: Folder) -> None:
    (folder.path / "sl.config.yaml").write_text("stack: a\nsources: {}\nlenzes: {}\n")

    assert "did you mean 'lenses'" in told(folder, "push", code=2)


def test_an_unknown_lens_gets_the_nearest_one(folder: Folder) -> None:
    folder.run("push")

    for command in (
        ["status", "--lens"],
        ["resume", "--lens"],
        ["pause", "--lens"],
        ["sync", "--lens"],
    ):
        assert "did you mean 'items'" in told(folder, *command, "itms", code=2)
    assert "did you mean 'items'" in told(folder, "search", "itms", "text", code=2)


def test_an_unknown_environment_is_told(folder: Folder) -> None:
    folder.run("push")

    assert "development" in told(folder, "resume", "--lens", "items", "--env", "prod", code=2)


def test_a_variable_that_is_not_set_is_named(folder: Folder) -> None:
    folder.write(url="${NOT_SET_ANYWHERE}")

    assert "NOT_SET_ANYWHERE" in told(folder, "push", code=2)


def test_an_empty_setting_is_named(folder: Folder) -> None:
    folder.environ["SEMILAYER_HOME"] = " "

    assert "SEMILAYER_HOME" in told(folder, "push", code=2)


def test_a_table_that_is_not_there_gets_the_nearest_one(folder: Folder) -> None:
    folder.write(lenses={"items": {"table": "itmes"}})

    assert "did you mean 'items'" in told(folder, "push", code=2)


def test_a_source_that_nobody_answers_for_is_worth_another_try(folder: Folder) -> None:
    folder.write(url="${DATABASE_URL}")
    folder.environ["DATABASE_URL"] = f"postgresql://joe:{SECRET}@127.0.0.1:1/shop"

    assert "main" in told(folder, "push", code=4)


def test_a_source_that_refuses_us_is_not(folder: Folder, postgres_database: str) -> None:
    url = make_url(postgres_database).set(username="nobody_we_know", password=SECRET)
    folder.write(url="${DATABASE_URL}")
    folder.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)

    assert "nobody_we_know" in told(folder, "push", code=1)


def test_a_registry_that_is_away_is_worth_another_try(folder: Folder) -> None:
    folder.environ["SEMILAYER_REGISTRY_URL"] = f"postgresql://joe:{SECRET}@127.0.0.1:1/registry"

    assert "127.0.0.1" in told(folder, "status", code=4)


def test_a_search_before_the_first_ingest_says_how_to_start_it(folder: Folder) -> None:
    folder.run("push")

    assert "semilayer resume --lens items" in told(folder, "search", "items", "x", code=3)


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("{no", "--where is not JSON"),
        ("[1]", "JSON object"),
        ('{"categry": "books"}', "did you mean 'category'"),
        ('{"price": {"$nope": 1}}', "price"),
        ('{"price": {"$in": 3}}', "list"),
        ('{"category": "\\ud800"}', "half of a surrogate pair"),
        ('{"category": ["books", "\\udc00"]}', "half of a surrogate pair"),
    ],
)
def test_conditions_that_make_no_sense_are_told(where: str, hint: str, indexed: Folder) -> None:
    assert hint in told(indexed, "search", "items", "x", "--where", where, code=2)


def test_a_question_that_is_no_unicode_is_told(indexed: Folder) -> None:
    """As a shell passes bytes that are no UTF-8."""
    assert "half of a surrogate pair" in told(indexed, "search", "items", "x\udcff", code=2)
    with pytest.raises(ConfigError, match="half of a surrogate pair"):
        similar(indexed.project, "items", "x\udcff")


@pytest.mark.parametrize("command", ["jobs", "failed"])
def test_a_list_is_never_longer_than_a_database_can_count(command: str, folder: Folder) -> None:
    assert "--limit" in told(folder, command, "--limit", "9" * 30, code=2)


def test_a_sync_of_a_lens_without_an_index_is_refused(folder: Folder) -> None:
    folder.run("push")

    assert "semilayer resume" in told(folder, "sync", "--lens", "items", code=3)


def test_a_job_that_does_not_exist_is_told(folder: Folder) -> None:
    assert "'abc'" in told(folder, "jobs", "abc", code=2)


def test_a_failed_ingest_is_told_with_its_reason_and_its_cure(folder: Folder) -> None:
    # given a lens whose table went away after the push
    folder.run("push")
    folder.run("resume")
    folder.database.rename(folder.path / "away.db")
    with pytest.raises(Terminal):
        run_queued(folder)

    # when its status is asked for
    shown = folder.run("status").stdout

    # then the reason and the cure are there
    assert "error" in shown
    assert "no SQLite file" in shown


def test_dev_outside_of_a_dagster_project_says_what_is_missing(folder: Folder) -> None:
    # given a folder that was a project once, and has no configuration
    folder.run("push")
    (folder.path / "sl.config.yaml").unlink()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    said = told(
        folder, "dev", "--port", str(free_port()), "--webhook-port", str(free_port()), code=2
    )

    assert "dagster.yaml" in said
    assert "semilayer init" in said

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_text_of_a_row_is_shown_as_it_is_and_drives_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("a :bug: in [red]\x1b[2J\x07")

    assert capsys.readouterr().out == "a :bug: in [red][2J\n"


def test_a_cure_names_the_environment_that_the_command_named(folder: Folder) -> None:
    """What is typed as it stands would else be about the lens of another environment."""
    folder.run("push")
    folder.run("push", "--env", "production")

    refused = told(folder, "sync", "items", "--env", "production", code=3)
    shown = folder.run("status", "--env", "production").stdout

    assert "`semilayer resume --env production --lens items`" in refused
    assert "semilayer resume --env production --lens items" in shown
    assert "`semilayer resume --lens items`" in told(folder, "sync", "items", code=3)
    folder.environ["SEMILAYER_ENV"] = "production"
    assert "`semilayer resume --lens items`" in told(folder, "sync", "items", code=3)


def test_a_command_in_a_document_names_the_environment_too(folder: Folder) -> None:
    env = ("--env", "production")
    folder.run("push", *env)
    resume = "semilayer resume --env production --lens items"
    assert folder.json("status", *env)["lenses"][0]["next"] == resume
    refused = json.loads(folder.run("search", "items", "x", *env, "--json").stdout)["error"]
    folder.run("resume", *env)
    run_queued(folder)
    folder.write(lenses={"items": {"where": "id > 3"}})
    (pushed,) = folder.json("push", *env)["lenses"]

    assert f"`{resume}` starts the first ingest" in refused["cure"]
    assert pushed["next"] == "semilayer sync --env production --lens items"


def test_a_row_whose_text_is_a_command_is_shown_as_it_is(tmp_path: Path) -> None:
    text = "run `semilayer resume` now"
    folder = Folder.at(tmp_path, rows=1)
    with closing(sqlite3.connect(folder.database)) as db, db:
        db.execute("UPDATE items SET description = ?", (text,))
    folder.run("push", "--env", "production", "--resume-ingest")
    run_queued(folder)

    (hit,) = folder.json("search", "items", "resume", "--env", "production")
    assert hit["fields"]["description"] == text
    assert folder.json("explain", "items", "1", "--env", "production")["row"]["description"] == text
    assert text in folder.run("explain", "items", "1", "--env", "production").stdout
    assert text in folder.run("search", "items", "resume", "--env", "production").stdout


def test_the_key_of_a_failed_row_drives_no_terminal(tmp_path: Path) -> None:
    # given a row set aside whose key clears the screen, and one that does not exist
    folder = Folder(tmp_path, {"SEMILAYER_DAGSTER_URL": "http://127.0.0.1:1"})
    with closing(sqlite3.connect(folder.database)) as db, db:
        db.execute("CREATE TABLE items (id TEXT PRIMARY KEY, title TEXT, price TEXT)")
        db.execute("INSERT INTO items VALUES (?, 'a', 'abc')", ("k\x1b[2J\x9b2J\x0e",))
    fields = {"title": {"type": "text", "searchable": True}, "price": {"type": "number"}}
    folder.write(lenses={"items": {"fields": fields, "onMisfit": "fail"}})
    folder.run("push", "--resume-ingest")
    run_queued(folder)

    shown = folder.run("failed")

    assert shown.exit_code == 0
    assert "k[2J2J" in shown.stdout
    assert not {"\x1b", "\x9b", "\x0e"} & set(shown.stdout)


def test_a_message_drives_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def broken() -> None:
        raise ConfigError("of \x1b[2J row \x9b2J\x07")

    group = SemilayerGroup("group", commands={"broken": broken})
    with pytest.raises(SystemExit):
        group.main(["broken"])

    assert capsys.readouterr().err == "semilayer: of [2J row 2J\n"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"stack: a\n# caf\xe9\n", "sl.config.yaml:2: there are bytes that are no UTF-8."),
        (None, "cannot be read: Is a directory. It has to be a file"),
    ],
)
def test_a_configuration_that_is_no_text_is_told(
    folder: Folder, written: bytes | None, says: str
) -> None:
    file = folder.path / "sl.config.yaml"
    file.unlink()
    folder.environ["SEMILAYER_ROOT"] = str(folder.path)
    file.mkdir() if written is None else file.write_bytes(written)

    assert says in told(folder, "push", code=2)
