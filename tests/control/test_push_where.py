"""A push looks whether the condition of a lens is one, and says where in the file it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.control.push import Plan, plan_push
from semilayer_pipelines.control.push_config import push_config
from semilayer_pipelines.errors import (
    ConfigError,
    SchemaMismatch,
    SemilayerError,
    UserError,
)
from semilayer_pipelines.registry.lenses import Needs
from tests.lab import ENV, Lab

FILE = """\
stack: test
sources:
  main:
    bridge: sql
    connection: sqlite:///{database}
lenses:
  items:
    source: main
    table: items
    where: {where}
    embedding: {{provider: hash}}
    fields:
      name: {{type: text, searchable: true}}
  others:
    source: main
    table: items
    where: >-
      name LIKE '%1%'
      AND id > 3
    embedding: {{provider: hash}}
    fields:
      name: {{type: text, searchable: true}}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A project whose registry is empty, over a table of twenty rows."""
    lab = Lab.at(tmp_path, rows=20)
    return lab


def needs(lab: Lab) -> Needs:
    return lab.lens.needs


def pushed(lab: Lab, where: str) -> Plan:
    file = lab.project.settings.config
    file.write_text(FILE.format(database=lab.database, where=where), encoding="utf-8")
    return push_config(lab.project, env="fresh")


def test_wrong_sql_names_the_lens_the_file_and_the_line(lab: Lab) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        pushed(lab, "naem = 'item 1'")

    said = str(refused.value)
    assert said.startswith(
        "lens 'items': sl.config.yaml:10: lenses.items.where: 'where' is no condition over 'items'"
    )
    assert "no such column: naem" in said
    assert "SELECT" not in said


def test_the_mistakes_of_all_lenses_are_told_with_their_lines(lab: Lab) -> None:
    text = FILE.format(database=lab.database, where="1 = 1").replace("AND id > 3", "AND idd")
    lab.project.settings.config.write_text(text, encoding="utf-8")

    with pytest.raises(UserError) as refused:
        push_config(lab.project, env="fresh")

    said = str(refused.value)
    assert "sl.config.yaml:10: lenses.items.where: 'where' names no column of 'items'" in said
    assert "sl.config.yaml:17: lenses.others.where: 'where' is no condition" in said


def test_a_file_that_is_not_there_leaves_the_place_out(lab: Lab) -> None:
    with pytest.raises(SchemaMismatch, match=r"^lens 'items': 'where' names no column"):
        lab.push(where="1 = 1")


@pytest.mark.parametrize("where", ["''", "5", "[a, b]", '"a\\0b"'])
def test_what_is_no_text_is_refused_when_the_file_is_read(lab: Lab, where: str) -> None:
    with pytest.raises(ConfigError, match=r"sl\.config\.yaml:10: lenses\.items\.where: "):
        pushed(lab, where)


def test_nothing_is_no_condition(lab: Lab) -> None:
    assert [lens.needs for lens in pushed(lab, "").lenses] == [Needs.NOTHING, Needs.NOTHING]
    config = load_config(lab.project.settings.config)
    assert config.lenses["items"].where is None
    assert config.lenses["others"].where == "name LIKE '%1%' AND id > 3"


def test_a_change_of_the_condition_says_that_a_smart_sync_is_needed(lab: Lab) -> None:
    lab.full()
    lab.push(where="id > 3")

    assert needs(lab) is Needs.SMART_SYNC
    lab.sync(confirmed=True)
    assert needs(lab) is Needs.NOTHING

    # One that is written in another way may mean something else.
    lab.push(where="id > 3 ")
    assert needs(lab) is Needs.SMART_SYNC


def test_a_table_that_was_altered_is_told_by_the_next_job_and_nothing_is_deleted(
    lab: Lab,
) -> None:
    with lab.source() as db:
        db.execute("ALTER TABLE items ADD COLUMN status TEXT DEFAULT 'shown'")
    lab.push(where="status = 'shown'")
    lab.full()
    with lab.source() as db:
        db.execute("ALTER TABLE items DROP COLUMN status")

    with pytest.raises(SchemaMismatch, match="no such column: status"):
        lab.sync()

    assert lab.indexed().height == 20


def test_the_unique_key_that_was_found_is_told(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("CREATE TABLE bare AS SELECT * FROM items")
        db.execute("DROP TABLE items")
        db.execute("CREATE TABLE items (id INTEGER NOT NULL, name TEXT)")
        db.execute("INSERT INTO items SELECT id, name FROM bare")
        db.execute("CREATE UNIQUE INDEX by_id ON items (id)")

    plan = pushed(lab, "name <> ''")

    assert [lens.key for lens in plan.lenses] == [("id",), ("id",)]
    assert plan_push(lab.project, load_config(lab.project.settings.config), ENV).lenses[0].key


@pytest.mark.parametrize(
    ("told", "error", "said"),
    [
        ("primaryKey: idd", SchemaMismatch, "primaryKey: Table 'items' has no column 'idd'"),
        ("primaryKey: [id, nmae]", SchemaMismatch, "primaryKey: Table 'items' has no column"),
        ("rerank: ./no-such-folder", ConfigError, "rerank: "),
        ("changeTrackingColumn: nope", SchemaMismatch, "changeTrackingColumn: "),
    ],
)
def test_what_the_source_or_a_model_refuses_names_the_file_and_the_line(
    lab: Lab, told: str, error: type[SemilayerError], said: str
) -> None:
    with pytest.raises(error) as refused:
        pushed(lab, f"id > 0\n    {told}")

    assert str(refused.value).startswith(f"lens 'items': sl.config.yaml:11: lenses.items.{said}")


def test_a_chunk_that_the_model_does_not_read_names_the_file_and_the_line(lab: Lab) -> None:
    own = "    embedding: {{provider: hash}}\n"
    text = FILE.replace(own, "    chunking: {{size: 400}}\n", 1)
    file = lab.project.settings.config
    file.write_text(text.format(database=lab.database, where="id > 0"), encoding="utf-8")

    with pytest.raises(ConfigError) as refused:
        push_config(lab.project, env="fresh")

    assert str(refused.value).startswith(
        "lens 'items': sl.config.yaml:11: lenses.items.chunking.size: A chunk of 400 tokens is more"
    )
    assert "Write 'size: 256' or less" in str(refused.value)


def test_an_interval_without_a_column_to_follow_names_the_file_and_the_line(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("CREATE TABLE still (id INTEGER PRIMARY KEY, name TEXT)")
        db.execute("DROP TABLE items")
        db.execute("ALTER TABLE still RENAME TO items")

    with pytest.raises(SchemaMismatch) as refused:
        pushed(lab, "id > 0\n    syncInterval: 5m")

    assert str(refused.value).startswith(
        "lens 'items': sl.config.yaml:11: lenses.items.syncInterval: 'syncInterval' reads what"
    )


@pytest.mark.parametrize("where", ["name", "(Name)", "'\"name\"'", "' `name` '"])
def test_a_column_of_texts_alone_is_no_condition(lab: Lab, where: str) -> None:
    with pytest.raises(SchemaMismatch, match=r"where: .*it is the text column 'name'"):
        pushed(lab, where)


def test_a_column_of_numbers_alone_is_a_condition(lab: Lab) -> None:
    pushed(lab, "price")
