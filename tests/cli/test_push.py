"""`semilayer push`: registers, asks before it deletes, starts nothing unasked."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import run_queued
from tests.cli.project import SEMILAYER, Folder
from tests.patience import PATIENCE_SECONDS
from tests.workload import FIELDS


def names(folder: Folder) -> list[str]:
    return [lens["name"] for lens in folder.json("status")["lenses"]]


def answer(folder: Folder, text: str, *arguments: str) -> tuple[int, str]:
    """Run the command in a terminal of its own and type an answer; return (exit code, output)."""
    ours, its = pty.openpty()
    command = subprocess.Popen(
        [SEMILAYER, *arguments],
        cwd=folder.path,
        env=folder.full_environ,
        stdin=its,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(ours, text.encode())
    said, _ = command.communicate(timeout=PATIENCE_SECONDS)
    os.close(ours)
    os.close(its)
    return command.returncode, said


def spoken(folder: Folder, *arguments: str) -> tuple[int, str]:
    """Run the command with its output in a terminal; return (exit code, output)."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [SEMILAYER, *arguments], cwd=folder.path, env=folder.full_environ, stdin=its, stdout=its
    ) as command:
        os.close(its)
        said = b""
        # A terminal whose other side is closed is an error to read from, on Linux.
        with suppress(OSError):
            while part := os.read(ours, 65_536):
                said += part
        code = command.wait(PATIENCE_SECONDS)
    os.close(ours)
    return code, said.decode()


def test_a_push_registers_and_starts_nothing(folder: Folder) -> None:
    said = folder.run("push").stdout

    assert "created    items (paused)" in said
    assert "semilayer resume" in said
    assert folder.json("jobs") == []


def test_a_second_push_changes_nothing(folder: Folder) -> None:
    folder.run("push")

    assert folder.run("push").stdout.split() == ["unchanged", "items"]


@pytest.mark.parametrize(
    ("lens", "altered", "says"),
    [
        ({}, "ALTER TABLE items RENAME TO goods", "has no table or view 'items'. There are: goods"),
        (
            {},
            "ALTER TABLE items RENAME COLUMN description TO about",
            "lenses.items.fields.description: table 'items': field 'description': ",
        ),
        (
            {"fields": {"name": FIELDS["name"]}, "where": "price > 3"},
            "ALTER TABLE items RENAME COLUMN price TO cost",
            "no such column: price",
        ),
    ],
    ids=["table", "column of a field", "column of the condition"],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_a_push_tells_of_a_registered_lens_what_its_source_no_longer_has(
    indexed: bool, lens: dict[str, object], altered: str, says: str, folder: Folder
) -> None:
    # given a lens as it is in the file
    folder.write(lenses={"items": lens})
    folder.run("push", *(["--resume-ingest"] if indexed else []))
    if indexed:
        run_queued(folder)
    assert folder.run("push").stdout.split() == ["unchanged", "items"]

    # when what it names is called otherwise in the source
    with sqlite3.connect(folder.database) as db:
        db.execute(altered)
    done = folder.run("push")

    # then
    assert done.exit_code == 2
    assert "lens 'items': " in done.stderr
    assert says in done.stderr
    assert "unchanged" not in done.stdout


def test_a_push_of_what_is_there_already_does_without_its_source(folder: Folder) -> None:
    folder.run("push")
    folder.database.rename(folder.path / "away.db")

    assert folder.run("push").stdout.split() == ["unchanged", "items"]


def test_a_lens_that_left_the_file_is_not_removed_when_nobody_is_there_to_ask(
    folder: Folder,
) -> None:
    # given
    folder.run("push")
    folder.write(lenses={"others": {}})

    # when
    refused = folder.run("push")

    # then nothing at all was done
    assert refused.exit_code == 3
    assert "items" in refused.stderr
    assert "--allow-deletes" in refused.stderr
    assert names(folder) == ["items"]


@pytest.mark.parametrize(("typed", "code", "left"), [("n\n", 3, "items"), ("y\n", 0, "others")])
def test_a_person_is_asked_before_a_lens_is_removed(
    typed: str, code: int, left: str, folder: Folder
) -> None:
    folder.run("push")
    folder.write(lenses={"others": {}})

    ended, said = answer(folder, typed, "push")

    assert ended == code, said
    assert "Remove items with its indexed data?" in said
    assert "Traceback" not in said
    assert names(folder) == [left]


def test_ci_may_say_that_nobody_is_to_be_asked(folder: Folder) -> None:
    folder.run("push")
    folder.write(lenses={"others": {}})

    assert folder.run("push", "--allow-deletes").exit_code == 0

    assert names(folder) == ["others"]


def test_a_job_that_may_rebuild_may_not_delete_nor_the_other_way_round(folder: Folder) -> None:
    folder.run("push")
    folder.write(lenses={"others": {}})

    rebuilding = folder.run("push", "--rebuild", "--skip-confirmation-dangerously")
    deleting = folder.run("push", "--rebuild", "--allow-deletes")

    assert (rebuilding.exit_code, deleting.exit_code) == (3, 3)
    assert "Remove items" in rebuilding.stderr
    assert "Rebuild the index" in deleting.stderr
    assert names(folder) == ["items"]
    assert folder.json("jobs") == []


def test_a_push_that_makes_an_environment_shows_its_keys_to_a_person_only(folder: Folder) -> None:
    in_ci = folder.run("push", "--env", "staging").stdout
    code, at_hand = spoken(folder, "push", "--env", "production")

    assert code == 0, at_hand
    assert "sk_" not in in_ci
    assert "semilayer keys create --env staging" in in_ci
    assert all(f"{kind}_production_" in at_hand for kind in ("sk", "qk", "ik"))
    assert "semilayer keys create" not in folder.run("push", "--env", "staging").stdout


def test_dangerously_is_another_spelling_of_a_rebuild(folder: Folder) -> None:
    folder.run("push")

    assert folder.run("dangerously", "sync").exit_code == 2
    assert folder.run("dangerously", "sync", "--rebuild").exit_code == 3
    done = folder.run("dangerously", "sync", "--rebuild", "--skip-confirmation-dangerously")

    assert done.exit_code == 0
    assert [job["mode"] for job in folder.json("jobs")] == ["full"]


def test_one_lens_can_be_pushed_alone(folder: Folder) -> None:
    folder.write(lenses={"items": {}, "others": {}})

    folder.run("push", "--lens", "others")

    assert names(folder) == ["others"]


def test_as_json_the_output_is_one_document_and_nothing_else(folder: Folder) -> None:
    done = folder.run("push", "--json", "--resume-ingest")

    told = json.loads(done.stdout)
    assert [(lens["name"], lens["change"]) for lens in told["lenses"]] == [("items", "created")]
    assert [job["mode"] for job in told["jobs"]] == ["full"]
    # What is left to say is said aside.
    assert "created    items" in done.stderr


def test_ingest_starts_when_it_is_asked_for(folder: Folder) -> None:
    folder.run("push", "--resume-ingest")

    (job,) = folder.json("jobs")
    assert (job["mode"], job["status"]) == ("full", "queued")


def test_where_nothing_is_left_to_do_a_resumed_ingest_reads_what_changed(folder: Folder) -> None:
    folder.run("push", "--resume-ingest")
    run_queued(folder)

    told = folder.json("push", "--resume-ingest")

    assert [lens["change"] for lens in told["lenses"]] == ["unchanged"]
    assert [job["mode"] for job in told["jobs"]] == ["incremental"]


def test_a_lens_that_nothing_tells_changes_of_has_nothing_to_resume(folder: Folder) -> None:
    with sqlite3.connect(folder.database) as db:
        db.execute("CREATE TABLE still AS SELECT id, name, description FROM items")
    fields = {"name": {"type": "text", "searchable": True}}
    folder.write(lenses={"items": {"table": "still", "primaryKey": "id", "fields": fields}})
    folder.run("push", "--resume-ingest")
    run_queued(folder)

    assert folder.json("push", "--resume-ingest")["jobs"] == []


def test_a_rebuild_asks_first(folder: Folder) -> None:
    folder.run("push")

    assert folder.run("push", "--rebuild").exit_code == 3
    assert folder.json("jobs") == []
    assert folder.run("push", "--rebuild", "--skip-confirmation-dangerously").exit_code == 0
    assert [job["mode"] for job in folder.json("jobs")] == ["full"]


@pytest.mark.parametrize(("typed", "code", "modes"), [("n\n", 3, []), ("y\n", 0, ["full"])])
def test_a_person_is_asked_before_a_rebuild(
    typed: str, code: int, modes: list[str], folder: Folder
) -> None:
    folder.run("push")

    ended, said = answer(folder, typed, "push", "--rebuild")

    assert ended == code, said
    assert "Rebuild the index of items?" in said
    assert [job["mode"] for job in folder.json("jobs")] == modes


def test_environments_are_apart(folder: Folder) -> None:
    folder.run("push", "--env", "production")

    assert folder.json("status", "--env", "production")["lenses"]
    assert folder.json("status")["lenses"] == []


def test_the_configuration_is_found_from_a_folder_below(folder: Folder) -> None:
    below = folder.path / "deep" / "down"
    below.mkdir(parents=True)

    assert Folder(below, folder.environ).run("push").exit_code == 0

    assert names(folder) == ["items"]
    assert not Path(below / ".semilayer").exists()


def test_a_push_that_starts_ingest_says_which_job_does_it(folder: Folder) -> None:
    first = folder.run("push", "--resume-ingest").stdout
    again = folder.run("push", "--rebuild", "--skip-confirmation-dangerously").stdout

    (job,) = folder.json("jobs")
    line = f"items: full ingest queued, job {job['id'][:8]}."
    assert line in first.splitlines()
    assert line in again.splitlines()


@pytest.mark.parametrize(
    ("change", "embedded"),
    [
        ({"embedding": {"provider": "hash", "dimensions": 16}}, True),
        ({"fields": FIELDS | {"category": {"type": "text", "searchable": True}}}, True),
        ({"fields": {name: FIELDS[name] for name in list(FIELDS)[:-1]}}, False),
    ],
    ids=["another model", "one field more that is embedded", "one field less that was only kept"],
)
def test_a_push_says_that_what_is_embedded_changed_only_where_it_did(
    change: dict[str, object], embedded: bool, folder: Folder
) -> None:
    # given an index
    folder.run("push", "--resume-ingest")
    run_queued(folder)

    # when
    folder.write(lenses={"items": change})
    said = folder.run("push").stdout

    # then
    assert ("what is embedded changed" in said) is embedded
    assert "its index needs a rebuild: semilayer resume --lens items" in said


def test_a_push_tells_the_unique_index_that_rows_are_known_by(folder: Folder) -> None:
    with sqlite3.connect(folder.database) as db:
        db.execute("CREATE TABLE goods AS SELECT * FROM items")
        db.execute("DROP TABLE items")
        db.execute("CREATE TABLE items (id INTEGER NOT NULL, lang TEXT NOT NULL, name TEXT)")
        db.execute("CREATE UNIQUE INDEX by_both ON items (lang, id)")
    fields = {"name": {"type": "text", "searchable": True}}
    folder.write(lenses={"items": {"fields": fields}})

    assert "rows are told apart by the unique index on lang, id" in folder.run("push").stdout
    (lens,) = folder.json("push", "--dry-run")["lenses"]
    assert lens["foundKey"] == []  # it is as it was


def test_a_push_tells_wrong_sql_in_the_databases_words_and_registers_nothing(
    folder: Folder,
) -> None:
    folder.write(lenses={"items": {"where": "naem <> ''"}})

    refused = folder.run("push")

    assert refused.exit_code == 2
    said = refused.output
    lines = (folder.path / "sl.config.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if '"where"' in text)
    assert f"sl.config.yaml:{line}: lenses.items.where: " in said
    assert "no such column: naem" in said
    assert names(folder) == []


@pytest.mark.parametrize(
    ("lens", "key"),
    [
        ({"rerank": "./no-such-folder"}, "rerank"),
        ({"embedding": {"model": "./no-such-folder"}}, "embedding.model"),
        ({"embedding": {"provider": "static", "model": "./no-such-folder"}}, "embedding.model"),
    ],
)
def test_a_path_to_no_model_is_wrong_input(
    lens: dict[str, object], key: str, folder: Folder
) -> None:
    folder.write(lenses={"items": lens})

    refused = folder.run("push")

    assert refused.exit_code == 2
    text = (folder.path / "sl.config.yaml").read_text().splitlines()
    line = next(number for number, one in enumerate(text, 1) if "no-such-folder" in one)
    assert f"sl.config.yaml:{line}: lenses.items.{key}: The model folder" in refused.stderr
    assert f"does not exist in {folder.path}. Give the folder" in refused.stderr


def test_a_push_says_that_another_condition_needs_a_smart_sync(folder: Folder) -> None:
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    folder.write(lenses={"items": {"where": "id > 3"}})

    said = folder.run("push").stdout

    assert "a smart sync brings it in sync: semilayer sync --lens items" in said
    assert "where" in said
