"""`verify` and `sync --dry-run`: what is out of line, told by text, JSON and exit code."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import lancedb
import pytest

from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.workload import FIELDS


@pytest.fixture
def served(tmp_path: Path) -> Folder:
    """A folder whose lens of 200 rows is indexed, to be spoilt."""
    folder = Folder.at(tmp_path, rows=200)
    folder.write(lenses={"items": {"embedding": {"provider": "hash", "pricePerMillionTokens": 20}}})
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    return folder


def spoil(folder: Folder) -> None:
    """Change one row's text and another's price, delete one and add one."""
    with sqlite3.connect(folder.database) as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 1")
        db.execute("UPDATE items SET price = -1 WHERE id = 2")
        db.execute("DELETE FROM items WHERE id = 3")
        db.execute("INSERT INTO items VALUES (900, 'new', 'row', 1, 'books', '2026-01-01')")


def test_an_index_in_line_ends_with_0(served: Folder) -> None:
    done = served.run("verify")

    assert done.exit_code == 0
    assert "items: in sync (200 rows, 200 indexed" in done.stdout


def test_one_out_of_line_ends_with_3_and_names_the_rows(served: Folder) -> None:
    spoil(served)

    done = served.run("verify", "--lens", "items")
    told = json.loads(served.run("verify", "--json").stdout)

    assert done.exit_code == 3
    assert "OUT OF SYNC" in done.stdout
    assert "semilayer verify --lens items --heal" in done.stdout
    assert not told["inLine"]
    (lens,) = told["lenses"]
    assert lens["stale"] == {"count": 2, "ids": ["1", "2"]}
    assert lens["missing"] == {"count": 1, "ids": ["900"]}
    assert lens["orphan"] == {"count": 1, "ids": ["3"]}
    assert (lens["wrongModel"]["count"], lens["doubled"]["count"]) == (0, 0)


def test_rows_without_a_key_are_counted_and_are_in_line(tmp_path: Path) -> None:
    # given a table of ten rows that have a key and six that have none
    folder = Folder.at(tmp_path, rows=10)
    with sqlite3.connect(folder.database) as db:
        db.execute("CREATE TABLE others AS SELECT * FROM items")
        db.execute("INSERT INTO others (name) VALUES ('a'), ('b'), ('c'), ('d'), ('e'), ('f')")
    folder.write(lenses={"items": {"table": "others", "primaryKey": "id"}})
    folder.run("push", "--resume-ingest")
    run_queued(folder)

    # when
    done = folder.run("verify")
    (told,) = folder.json("verify")["lenses"]

    # then
    assert done.exit_code == 0
    assert "items: in sync (10 rows, 10 indexed" in done.stdout
    assert done.stdout.splitlines()[1].split() == (
        ["no", "key:", "rows", "with", "NULL", "in", "it", "are", "left", "out", "6"]
    )
    assert (told["inLine"], told["noKey"]) == (True, {"count": 6, "ids": []})


def test_a_lens_that_cannot_be_compared_keeps_no_other_from_it(tmp_path: Path) -> None:
    # given two lenses, one of whose tables is gone
    folder = Folder.at(tmp_path, rows=10)
    with sqlite3.connect(folder.database) as db:
        db.execute("CREATE TABLE others AS SELECT * FROM items")
    folder.write(lenses={"first": {"table": "others", "primaryKey": "id"}, "second": {}})
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    with sqlite3.connect(folder.database) as db:
        db.execute("DROP TABLE others")

    # when
    done = folder.run("verify")
    told = json.loads(folder.run("verify", "--json").stdout)

    # then
    assert done.exit_code == 2
    assert "first: NOT COMPARED" in done.stdout
    assert "second: in sync" in done.stdout
    assert [lens["inLine"] for lens in told["lenses"]] == [None, True]


def test_healing_queues_the_job_that_brings_it_in_line(served: Folder) -> None:
    spoil(served)

    done = served.run("verify", "--heal")

    assert done.exit_code == 0
    assert "items: smart_sync queued" in done.stdout
    run_queued(served)
    assert served.run("verify").exit_code == 0


def test_what_only_a_rebuild_mends_is_healed_by_one(served: Folder) -> None:
    served.write(lenses={"items": {"embedding": {"provider": "hash", "dimensions": 16}}})
    served.run("push")
    assert served.run("verify").exit_code == 3
    assert "Rebuild it: semilayer resume" in served.run("sync", "--lens", "items").stdout
    assert "pushed with another model" in served.run("sync", "--lens", "items", "--dry-run").stdout

    assert "items: full queued" in served.run("verify", "--heal").stdout

    run_queued(served)
    assert served.run("verify").exit_code == 0


def test_what_was_changed_by_hand_is_told_with_its_fields_and_healed(served: Folder) -> None:
    # given a price that somebody changed in the index
    store = served.path / ".semilayer" / "lance" / "development"
    [table] = store.glob("*.lance")
    lancedb.connect(store).open_table(table.stem).update("_key = '7'", {"price": -1.0})
    assert served.run("verify").exit_code == 0

    # when
    done = served.run("verify", "--deep", "--search")
    read = served.run("verify", "--deep", "--sample", "10", "--json")
    (told,) = json.loads(read.stdout)["lenses"]

    # then
    assert done.exit_code == 3
    [line] = [line for line in done.stdout.splitlines() if "altered" in line]
    assert line.split()[-3:] == ["1", "7", "(price)"]
    assert "asked for by their own vectors: 200 rows" in done.stdout
    assert "read back: 200 rows, 200 texts embedded" in done.stdout
    assert told["altered"] == {"count": 1, "ids": ["7"]}
    assert told["alteredIn"] == {"7": ["price"]}
    assert (told["hiddenFromSearch"], told["readBack"]) == ({"count": 0, "ids": []}, 200)

    # and healed
    assert "smart_sync queued" in served.run("verify", "--deep", "--heal").stdout
    run_queued(served)
    assert served.run("verify", "--deep").exit_code == 0


def test_a_sample_of_nothing_is_a_mistake_in_words(served: Folder) -> None:
    done = served.run("verify", "--sample", "10")

    assert done.exit_code == 2
    assert "--sample needs --search or --deep" in done.stderr


def test_a_paused_lens_is_compared_but_not_healed(served: Folder) -> None:
    served.run("pause", "--lens", "items")
    spoil(served)

    done = served.run("verify", "--heal")

    assert done.exit_code == 3
    assert "NOT MENDED: It is paused" in done.stdout
    assert "`semilayer resume --lens items`" in done.stdout


def test_one_that_cannot_be_healed_keeps_no_other_from_it(served: Folder) -> None:
    # given two lenses out of sync, the first of which is paused
    served.write(lenses={"a_paused_one": {}, "items": {}})
    served.run("push")
    spoil(served)

    # when
    told = served.run("verify", "--heal", "--json")
    by_name = {one["lens"]: one for one in json.loads(told.stdout)["lenses"]}
    said = served.run("verify", "--heal").stdout

    # then the document has both, and the second is being healed
    assert told.exit_code == 3
    assert by_name["a_paused_one"]["missing"]["count"] > 0
    assert (by_name["a_paused_one"]["job"], by_name["a_paused_one"]["cure"]) == (
        None,
        "`semilayer resume --lens a_paused_one`",
    )
    (job,) = [one for one in served.json("jobs") if one["status"] == "queued"]
    assert (job["id"], job["lens"]) == (by_name["items"]["job"], "items")
    assert "NOT MENDED: It is paused" in said
    assert "go on with it: semilayer resume --lens a_paused_one" in served.run("verify").stdout


def test_a_dry_run_tells_what_a_sync_would_do_and_take_and_does_none_of_it(served: Folder) -> None:
    spoil(served)

    told = served.run("sync", "--lens", "items", "--dry-run").stdout
    numbers = served.json("sync", "--lens", "items", "--dry-run")

    assert [line.split()[-3:] for line in told.splitlines() if "would replace" in line] == [
        ["2", "1,", "2"]
    ]
    assert "would delete" in told
    assert numbers["missing"] == {"count": 1, "ids": ["900"]}
    assert numbers["orphan"] == {"count": 1, "ids": ["3"]}
    # the row whose price alone changed keeps its vector
    assert numbers["textsToEmbed"] == 2
    # a token of four characters, a millionth of 20 each
    assert numbers["tokens"] > 0
    assert numbers["money"] == pytest.approx(numbers["tokens"] * 20 / 1_000_000)
    assert numbers["seconds"] > 0
    assert not numbers["guardStops"]
    assert [job["mode"] for job in served.json("jobs")] == ["full"]
    assert served.run("verify").exit_code == 3


def test_a_price_alone_needs_no_rebuild(served: Folder) -> None:
    served.write(lenses={"items": {"embedding": {"provider": "hash", "pricePerMillionTokens": 5}}})

    served.run("push")

    assert served.json("status")["lenses"][0]["needs"] == "nothing"


def test_a_dry_run_says_when_the_guard_would_stop_it_and_a_word_lets_it_go_on(
    served: Folder,
) -> None:
    # given a table that lost most of its rows
    with sqlite3.connect(served.database) as db:
        db.execute("DELETE FROM items WHERE id > 50")

    # when, then
    told = served.run("sync", "--lens", "items", "--dry-run").stdout
    assert "the guard would stop it: it deletes 150 (75.0% of the index) and may delete 100" in told
    assert served.json("sync", "--lens", "items", "--dry-run")["guardStops"]
    served.run("sync", "--lens", "items")
    words = r"would delete 150 of 200 indexed rows \(75\.0%\), .* Its guard allows 100\. Nothing"
    with pytest.raises(Exception, match=words):
        run_queued(served)
    assert served.json("status")["lenses"][0]["vectors"] == 200

    # and a person's word lets it
    served.run("sync", "--lens", "items", "--confirm-deletes")
    run_queued(served)
    assert served.run("verify").exit_code == 0


def test_a_dry_run_of_a_paused_lens_is_refused_as_the_sync_is(served: Folder) -> None:
    served.run("pause", "--lens", "items")

    assert served.run("sync", "--lens", "items", "--dry-run").exit_code == 3


def test_a_changed_transform_is_told_before_the_sync_that_brings_it_in(served: Folder) -> None:
    # given a lens pushed anew that embeds another text of every row
    fields = {"name": {"type": "text", "searchable": True, "transform": ["uppercase"]}}
    served.write(lenses={"items": {"fields": FIELDS | fields}})
    served.run("push")

    numbers = served.json("sync", "--lens", "items", "--dry-run")

    assert numbers["stale"]["count"] == 200
    assert numbers["textsToEmbed"] == 200
