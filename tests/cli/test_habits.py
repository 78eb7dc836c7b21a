"""A command is found by any usual spelling, reads .env, and is shown whole to be copied."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from rich.console import Console

from semilayer_pipelines.cli import status as status_command
from semilayer_pipelines.cli.context import say_json
from semilayer_pipelines.counts import utc_text
from tests.cli.conftest import run_queued
from tests.cli.project import SEMILAYER, Folder


def program(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "semilayer_pipelines", *arguments],
        cwd=folder.path,
        env=folder.full_environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_package_runs_as_the_command(folder: Folder) -> None:
    said = program(folder, "--version")
    assert (said.returncode, said.stdout.startswith("semilayer, version")) == (0, True)

    wrong = program(folder, "pusch")
    assert wrong.returncode == 2
    assert "There is no command 'pusch' (did you mean 'push'?)" in wrong.stderr
    assert "Usage: semilayer " in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stauts"], "'stauts' (did you mean 'status'?)"),
        (["Search"], "'Search' (did you mean 'search'?)"),
        (["keys", "creat"], "'creat' (did you mean 'create'?)"),
        (["envs", "lst"], "'lst' (did you mean 'list'?)"),
        (["zzz"], "There is no command 'zzz'. Commands: init, import, push"),
    ],
)
def test_a_misspelt_command_gets_the_nearest(
    folder: Folder, arguments: list[str], said: str
) -> None:
    done = folder.run(*arguments)

    assert done.exit_code == 2
    assert said in done.stderr


def test_a_terminal_that_is_not_unicode_loses_signs_and_nothing_else(tmp_path: Path) -> None:
    # given a row that Latin-1 has no letters for
    folder = Folder.at(tmp_path, rows=1)
    with closing(sqlite3.connect(folder.database)) as db, db:
        db.execute("UPDATE items SET name = '写真 Café'")
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    folder.environ["PYTHONIOENCODING"] = "latin-1"

    def printed(*arguments: str) -> bytes:
        done = subprocess.run(
            [SEMILAYER, *arguments],
            cwd=tmp_path,
            env=folder.full_environ,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "?? Café".encode("latin-1") in printed("search", "items", "x")
    assert json.loads(printed("search", "items", "x", "--json"))[0]["fields"]["name"] == "写真 Café"


def test_env_beside_the_configuration_is_read_and_never_over_what_is_set(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    folder.write(url="${SHOP_URL}")
    (tmp_path / ".env").write_text(
        f'# where rows are\nexport SHOP_URL="sqlite:///{folder.database}"\nSEMILAYER_ENV=staging\n'
    )
    below = tmp_path / "below"
    below.mkdir()

    pushed = json.loads(program(folder, "push", "--json").stdout)
    assert pushed["env"] == "staging"
    folder.environ["SEMILAYER_ENV"] = "testing"
    assert folder.json("push")["env"] == "testing"

    elsewhere = Folder(below, {"SEMILAYER_DAGSTER_URL": "http://127.0.0.1:1"})
    assert elsewhere.json("push")["env"] == "staging"
    named = Folder(
        tmp_path.parent, folder.environ | {"SEMILAYER_CONFIG": f"{tmp_path.name}/sl.config.yaml"}
    )
    assert named.json("push", "--dry-run")["env"] == "testing"


def test_env_is_read_by_a_code_server_too(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path)
    (tmp_path / ".env").write_text("SEMILAYER_HOME=elsewhere\n")

    subprocess.run(
        [sys.executable, "-c", "import semilayer_pipelines.orchestration.definitions"],
        cwd=tmp_path,
        env=folder.full_environ,
        check=True,
    )

    assert (tmp_path / "elsewhere" / "registry.db").exists()


def test_init_takes_the_url_from_env(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    (tmp_path / "sl.config.yaml").unlink()
    (tmp_path / ".env").write_text(f"DATABASE_URL=sqlite:///{folder.database}\n")

    done = program(folder, "init", "--table", "items", "--json")

    assert json.loads(done.stdout)["connection"] == "${DATABASE_URL}", done.stderr
    assert program(folder, "push").returncode == 0


def test_an_env_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path)
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")

    done = program(folder, "status")

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert ".env cannot be read" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("failed",),
        ("verify",),
        ("pause",),
        ("resume",),
        ("sync", "--dry-run"),
        ("push", "--dry-run"),
    ],
)
def test_every_command_takes_its_lens_both_ways(
    indexed: Folder, arguments: tuple[str, ...]
) -> None:
    by_option = indexed.run(*arguments, "--lens", "items")
    by_name = indexed.run(*arguments, "items")
    nearest = indexed.run(*arguments, "itms")

    assert by_option.exit_code == by_name.exit_code
    assert "No such" not in by_name.output
    assert "did you mean 'items'" in nearest.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--lens", ""),
        ("status", ""),
        ("failed", "--lens", ""),
        ("failed", "--retry", "--lens", ""),
        ("verify", "--lens", ""),
        ("pause", "--lens", ""),
        ("resume", "--lens", ""),
        ("sync", "--lens", ""),
        ("sync", "--dry-run", ""),
        ("rollback", ""),
        ("jobs", "--lens", ""),
        ("jobs", ""),
        ("push", "--dry-run", "--lens", ""),
        ("search", "", "amber"),
        ("explain", "", "5"),
    ],
)
def test_an_empty_name_is_no_lens_and_never_means_all_of_them(
    indexed: Folder, arguments: tuple[str, ...]
) -> None:
    # as a script gives it, whose variable is not set
    done = indexed.run(*arguments)

    assert done.exit_code == 2
    assert "''" in done.stderr
    assert [one["status"] for one in indexed.json("status")["lenses"]] == ["ready"]
    assert len(indexed.json("jobs")) == 1


def test_search_and_explain_take_theirs_both_ways(indexed: Folder) -> None:
    for command, word in (("search", "a red scarf"), ("explain", "5")):
        by_name = indexed.run(command, "items", word, "--json")
        assert by_name.exit_code == 0, by_name.output
        assert indexed.run(command, "--lens", "items", word, "--json").stdout == by_name.stdout
        assert indexed.run(command, word).exit_code == 2
        assert indexed.run(command, "items", "items", word).exit_code == 2


def test_a_command_that_needs_a_lens_asks_for_it(folder: Folder) -> None:
    done = folder.run("rollback")

    assert done.exit_code == 2
    assert "Which lens? Give its name." in done.stderr
    assert "One lens, please" in folder.run("rollback", "items", "--lens", "others").stderr


@pytest.mark.parametrize("arguments", [("sync",), ("resume",), ("verify", "--heal")])
def test_the_deletes_of_all_lenses_are_not_confirmed_at_once(
    indexed: Folder, arguments: tuple[str, ...]
) -> None:
    done = indexed.run(*arguments, "--confirm-deletes")

    assert done.exit_code == 2
    assert "--confirm-deletes is for one lens" in done.stderr


def test_sync_and_pause_take_all_lenses_where_none_is_named(folder: Folder) -> None:
    # given one lens that is indexed and one that is not
    folder.run("push")
    folder.run("resume")
    run_queued(folder)
    folder.write(lenses={"items": {}, "others": {}})
    folder.run("push")

    dry = folder.run("sync", "--dry-run")
    synced = folder.run("sync", "--json")
    assert [one["lens"] for one in json.loads(synced.stdout)] == ["items"]
    assert "others: skipped. It is paused" in synced.stderr
    assert "items: 20 rows compared" in dry.stdout

    assert [one["status"] for one in folder.json("pause")] == ["paused", "paused"]
    assert folder.json("pause", "items") == {"lens": "items", "status": "paused"}
    assert "There is no lens to sync" in folder.run("sync").stdout


def test_status_fits_eighty_columns_and_cuts_nothing_that_one_copies(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "customer_reviews_of_products_in_all_languages_of_the_world"
    folder.write(lenses={name: {}, "items": {}})
    folder.run("push")
    folder.run("pause", name)
    narrow = Console(highlight=False, soft_wrap=True, width=80, record=True, file=io.StringIO())
    monkeypatch.setattr(status_command, "console", lambda: narrow)

    folder.run("status")

    printed = narrow.export_text().splitlines()
    assert f"{name}: semilayer resume --lens {name}" in printed
    table = printed[: printed.index("")]
    assert max(len(line.rstrip()) for line in table) <= 80
    assert "…" not in "".join(table)


def test_a_number_that_is_none_is_a_text_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    infinite, none = float("inf"), float("nan")

    say_json({"row": {"price": -infinite, "sizes": [1.5, none]}, "more": (infinite,)})

    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told == {"row": {"price": "-inf", "sizes": [1.5, "nan"]}, "more": ["inf"]}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2024, 1, 2, 10, tzinfo=UTC), "2024-01-02T10:00:00Z"),
        (datetime(2024, 1, 2, 10, 0, 0, 5, tzinfo=UTC), "2024-01-02T10:00:00.000005Z"),
        (datetime(2024, 1, 2, 12, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T10:00:00Z"),
    ],
)
def test_dates_are_printed_as_the_webhook_prints_them(
    moment: datetime, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from pydantic import TypeAdapter

    say_json({"at": moment, "day": date(2024, 1, 2)})

    assert utc_text(moment) == text
    assert json.loads(capsys.readouterr().out) == {"at": text, "day": "2024-01-02"}
    if moment.tzinfo is UTC:
        assert TypeAdapter(datetime).dump_json(moment) == f'"{text}"'.encode()


def test_a_shell_completes_commands_and_options(folder: Folder) -> None:
    folder.environ |= {"_SEMILAYER_COMPLETE": "bash_complete", "COMP_CWORD": "2"}

    def completed(words: str) -> set[str]:
        folder.environ["COMP_WORDS"] = words
        done = subprocess.run(
            [SEMILAYER],
            cwd=folder.path,
            env=folder.full_environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return {line.removeprefix("plain,") for line in done.stdout.splitlines()}

    assert completed("semilayer keys c") == {"create"}
    assert completed("semilayer push --re") == {"--resume-ingest", "--rebuild"}
