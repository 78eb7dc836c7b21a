"""A push checks what a lens joins, and tells mistakes with file, line and what there is instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.control.export import plan_export, write_export
from semilayer_pipelines.control.push import PushAction
from semilayer_pipelines.control.push_config import push_config
from semilayer_pipelines.errors import ConfigError, SchemaMismatch
from semilayer_pipelines.registry import cursors
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from tests.lab import ENV, Lab
from tests.workload import FIELDS

FILE = """\
stack: test
sources:
  main: {{bridge: sql, connection: "sqlite:///{database}"}}
lenses:
  items:
    source: main
    table: items
    embedding: {{provider: hash}}
    joins:
      shop:
        table: {table}
        on: {{{ours}: {theirs}}}
        changeTrackingColumn: {tracked}
    fields:
      name: {{type: text, searchable: true}}
      city:
        type: text
        from: {column}
"""
GOOD = {
    "table": "shops",
    "ours": "id",
    "theirs": "number",
    "tracked": "null",
    "column": "shop.city",
}
CITY = {"city": {"type": "text", "from": "shop.city"}}
SHOP = {"table": "shops", "on": {"id": "number"}}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lens of items, and a table `shops` beside it."""
    made = Lab.at(tmp_path, rows=20)
    with made.source() as db:
        db.execute(
            "CREATE TABLE shops (number INTEGER PRIMARY KEY, code TEXT UNIQUE, city TEXT, "
            "updated_at TEXT, version INTEGER)"
        )
        db.executemany(
            "INSERT INTO shops VALUES (?, ?, ?, '2024-05-01 10:00:00', 1)",
            [(n, f"c{n}", f"city {n}") for n in range(20)],
        )
    return made


def pushed(lab: Lab, **told: str) -> Any:
    file = lab.project.settings.config
    file.write_text(FILE.format(database=lab.database, **GOOD | told), encoding="utf-8")
    return push_config(lab.project, env="fresh")


def refusal(lab: Lab, **told: str) -> str:
    with pytest.raises(SchemaMismatch) as refused:
        pushed(lab, **told)
    return str(refused.value)


def test_what_a_lens_joins_is_pushed(lab: Lab) -> None:
    (lens,) = pushed(lab).lenses

    assert lens.change is PushAction.CREATED
    assert lens.tracked == "updated_at"


@pytest.mark.parametrize(
    ("told", "place", "said"),
    [
        (
            {"table": "shosp"},
            "11: lenses.items.joins.shop.table",
            "no table or view 'shosp' (did you mean 'shops'?)",
        ),
        (
            {"ours": "idd"},
            "12: lenses.items.joins.shop.on.idd",
            "Table 'items' has no column 'idd' (did you mean 'id'?)",
        ),
        (
            {"theirs": "numbr"},
            "12: lenses.items.joins.shop.on.id",
            "Table 'shops' has no column 'numbr' (did you mean 'number'?)",
        ),
        (
            {"theirs": "code"},
            "12: lenses.items.joins.shop.on.id",
            "items.id is INTEGER and shops.code is TEXT, which do not compare",
        ),
        (
            {"ours": "name", "theirs": "city"},
            "12: lenses.items.joins.shop.on",
            "city covers no unique key of it. Its unique keys: number; code.",
        ),
        (
            {"tracked": "updated_ta"},
            "13: lenses.items.joins.shop.changeTrackingColumn",
            "has no column 'updated_ta' (did you mean 'updated_at'?)",
        ),
        (
            {"tracked": "version"},
            "13: lenses.items.joins.shop.changeTrackingColumn",
            "there is no later of the two",
        ),
        (
            {"column": "shop.ciyt"},
            "18: lenses.items.fields.city.from",
            "column 'shop.ciyt' does not exist (did you mean 'shop.city'?)",
        ),
        (
            {"column": "shpo.city"},
            "18: lenses.items.fields.city.from",
            "column 'shpo.city' does not exist (did you mean 'shop.city'?)",
        ),
    ],
)
def test_a_mistake_names_its_line_and_what_there_is(
    lab: Lab, told: dict[str, str], place: str, said: str
) -> None:
    message = refusal(lab, **told)

    assert message.startswith(f"lens 'items': sl.config.yaml:{place}: ")
    assert said in message


def test_a_join_may_not_be_called_like_a_column(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("ALTER TABLE items ADD COLUMN shop TEXT")

    message = refusal(lab)

    assert message.startswith("lens 'items': sl.config.yaml:10: lenses.items.joins.shop: ")
    assert "'items' has a column 'shop'" in message


def test_a_view_has_no_unique_key(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("CREATE VIEW shown AS SELECT * FROM shops")

    assert "It has no unique key." in refusal(lab, table="shown")


@pytest.mark.parametrize(
    ("joins", "said"),
    [
        ({"a-b": SHOP}, "a name is letters"),
        ({"shop": {"table": "shops"}}, "on"),
        ({"shop": {"table": "shops", "on": {}}}, "on"),
        ({"shop": SHOP | {"tabel": "x"}}, "tabel"),
    ],
)
def test_the_form_of_a_join_is_checked_when_the_file_is_read(
    lab: Lab, joins: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        lab.push(joins=joins)


def test_an_unknown_key_of_a_join_is_told_with_those_there_are(lab: Lab) -> None:
    file = lab.project.settings.config
    text = FILE.format(database=lab.database, **GOOD).replace("changeTracking", "changeTracing")
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=r":13: .*did you mean 'changeTrackingColumn'") as refused:
        push_config(lab.project, env="fresh")

    assert "there are table, on, changeTrackingColumn" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        # a join that no field uses changes nothing
        ({"fields": FIELDS, "joins": {"shop": SHOP}}, Needs.NOTHING),
        ({"fields": FIELDS | CITY, "joins": {"shop": SHOP}}, Needs.REBUILD),
    ],
)
def test_a_push_of_a_join_says_what_the_index_needs(
    lab: Lab, changes: dict[str, Any], needs: Needs
) -> None:
    lab.full()

    lab.push(**changes)

    assert lab.lens.needs is needs


def test_another_way_to_join_needs_a_smart_sync_and_what_is_tracked_needs_nothing(
    lab: Lab,
) -> None:
    with lab.source() as db:
        db.execute("CREATE TABLE others AS SELECT number, 'other' AS city FROM shops")
        db.execute("CREATE UNIQUE INDEX one ON others (number)")
    lab.push(fields=FIELDS | CITY, joins={"shop": SHOP})
    lab.full()
    assert lab.object_of("3")["city"] == "city 3"

    def needs_with(**changed: str) -> Needs:
        lab.push(fields=FIELDS | CITY, joins={"shop": SHOP | changed})
        return lab.lens.needs

    assert needs_with(changeTrackingColumn="updated_at") is Needs.NOTHING
    assert needs_with(table="others") is Needs.SMART_SYNC
    lab.sync()

    assert lab.object_of("3")["city"] == "other"
    assert needs_with(table="others") is Needs.NOTHING


def test_a_cursor_of_other_joined_tables_is_void(lab: Lab) -> None:
    lab.push(fields=FIELDS | CITY, joins={"shop": SHOP})
    lab.full()
    lab.run(lab.request(Mode.INCREMENTAL))
    with lab.project.registry.read() as db:
        assert cursors.get(db, lab.lens.id) is not None

    lab.push(fields=FIELDS | CITY, joins={"shop": SHOP | {"changeTrackingColumn": "updated_at"}})

    with lab.project.registry.read() as db:
        assert cursors.get(db, lab.lens.id) is None


def test_the_unchanged_file_is_pushed_without_a_change(lab: Lab) -> None:
    pushed(lab)

    (lens,) = pushed(lab).lenses

    assert lens.change is PushAction.UNCHANGED


def test_an_export_writes_joins_into_the_file(lab: Lab) -> None:
    lab.push(fields=FIELDS | CITY, joins={"shop": SHOP | {"changeTrackingColumn": "updated_at"}})
    file = lab.project.settings.config
    text = FILE.format(database=lab.database, **GOOD).partition("lenses:")[0]
    file.write_text(text + "lenses: {}\n", encoding="utf-8")

    write_export(plan_export(lab.project, ENV))

    (lens,) = push_config(lab.project, env=ENV).lenses
    assert lens.change is PushAction.UNCHANGED
    assert lab.lens.config.joins["shop"].on == {"id": "number"}
