"""Text from more than one table: every mode reads it, and a change of a joined row is a change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.ingest.open_lens import open_lens
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.checks import Check, check_lens
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.source_lag import source_lag
from semilayer_pipelines.queries.unmoved import unmoved
from semilayer_pipelines.registry import failed_rows
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.clock import Clock
from tests.ingest.ways import WAYS, Way, by_incremental, by_records, by_sync
from tests.lab import ENV, Lab
from tests.sources import SourceDatabase

ROWS = 12
FIELDS = {
    "title": {"type": "text", "searchable": True},
    "category": {"type": "text", "from": "category.name", "searchable": True},
    "weight": {"type": "number", "from": "category.weight"},
    "about": {
        "type": "text",
        "from": ["name", "category.name"],
        "merge": "concat",
        "separator": " in ",
    },
}
JOINS = {"category": {"table": "categories", "on": {"category_id": "id"}}}


@dataclass
class Shop:
    """Twelve posts in three categories, and a lens that joins them."""

    lab: Lab
    source: SourceDatabase
    clock: Clock
    seconds: int = 0

    def write(self, table: str, what: str, *ids: int, moves: bool = True) -> None:
        """Update rows; `moves` says whether their `updated_at` does."""
        self.seconds += 1
        moved = f", updated_at = '2024-05-01 11:00:{self.seconds:02d}'" if moves else ""
        listed = ", ".join(map(str, ids))
        self.source.run(f"UPDATE {table} SET {what}{moved} WHERE id IN ({listed})")

    def categories(self) -> dict[int, object]:
        """Return the category that the index has for each post."""
        keys = self.lab.indexed()[KEY].to_list()
        return {int(key): self.lab.object_of(key)["category"] for key in keys}

    def incremental(self) -> int:
        """Walk what moved; return how many rows were written."""
        self.clock.go_on(60)
        return self.lab.run(self.lab.request(Mode.INCREMENTAL)).counts.written

    def settle(self) -> None:
        """Let time pass until incremental looks at nothing twice."""
        for _ in range(3):
            self.incremental()


def shop_in(source: SourceDatabase, folder: Path, **lens: object) -> Shop:
    text, moment = source.type("text"), source.type("moment")
    source.run(
        f"CREATE TABLE categories (id INTEGER PRIMARY KEY, name {text}, weight INTEGER, "
        f"updated_at {moment})",
        f"CREATE TABLE posts (id INTEGER PRIMARY KEY, title {text}, name {text}, "
        f"category_id INTEGER, updated_at {moment})",
    )
    when = "2024-05-01 10:00:00"
    source.insert("categories", [(n, f"category {n}", n, when) for n in range(3)])
    source.insert("posts", [(n, f"post {n}", f"p{n}", n % 4, when) for n in range(ROWS)])
    told = {"SEMILAYER_ENV": ENV, "SHOP": source.url}
    folder.mkdir()
    clock = Clock()
    lab = Lab(Project(Settings.from_environ(told, folder), told, clock), folder)
    lab.connection = "${SHOP}"
    lab.push(**{"table": "posts", "fields": FIELDS, "joins": JOINS} | lens)
    return Shop(lab, source, clock)


@pytest.fixture
def shop(source: SourceDatabase, tmp_path: Path) -> Shop:
    """The shop in each database, indexed."""
    made = shop_in(source, tmp_path / "project")
    made.lab.full()
    return made


@pytest.fixture
def sqlite_shop(sqlite_source: SourceDatabase, tmp_path: Path) -> Shop:
    """The shop in SQLite, for what no database does in a way of its own."""
    made = shop_in(sqlite_source, tmp_path / "project")
    made.lab.full()
    return made


def expected() -> dict[int, object]:
    return {n: f"category {n % 4}" if n % 4 < 3 else None for n in range(ROWS)}


def test_a_row_has_the_values_of_the_row_it_points_to_and_null_without_one(shop: Shop) -> None:
    assert shop.categories() == expected()
    found = shop.lab.object_of("2")
    assert (found["weight"], found["about"]) == (2, "p2 in category 2")
    assert shop.lab.object_of("3")["about"] == "p3"
    assert shop.lab.audit().clean
    checks = check_lens(shop.lab.project, shop.lab.lens, frozenset(Check), seed=1)
    assert all(verdict.passed for verdict in checks.values()), checks


@pytest.mark.parametrize("way", WAYS)
def test_every_way_reads_the_joined_row_as_it_is_now(shop: Shop, way: Way) -> None:
    shop.settle()
    shop.write("categories", "name = 'tea'", 1)
    shop.source.run("INSERT INTO categories VALUES (3, 'new', 3, '2024-05-01 11:30:00')")

    way(shop.lab, [1, 5, 9, 3, 7, 11])

    assert shop.categories() == expected() | {1: "tea", 5: "tea", 9: "tea"} | dict.fromkeys(
        (3, 7, 11), "new"
    )
    assert audit(shop.lab.project, shop.lab.lens).in_line


def test_incremental_reads_what_moved_in_either_table_and_no_more(shop: Shop) -> None:
    shop.settle()
    assert shop.incremental() == 0
    assert unmoved(shop.lab.project, [shop.lab.lens]) == {shop.lab.lens.id}

    shop.write("categories", "name = 'tea'", 1)
    assert unmoved(shop.lab.project, [shop.lab.lens]) == set()
    assert shop.incremental() == 3
    shop.write("posts", "title = 'other'", 0, 3)
    shop.write("posts", "category_id = 2", 1)
    assert shop.incremental() == 3

    assert shop.categories() == expected() | {1: "category 2", 5: "tea", 9: "tea"}
    assert shop.lab.audit().clean
    lag = source_lag(shop.lab.project, shop.lab.lens)
    assert lag is not None
    assert (lag.error, lag.seconds, lag.untracked) == (None, 0.0, 0)


def test_what_incremental_cannot_see_smart_sync_finds_and_counts(shop: Shop) -> None:
    shop.write("posts", "title = 'later'", 11)
    shop.settle()
    shop.write("categories", "name = 'tea'", 1, moves=False)
    shop.source.run("DELETE FROM categories WHERE id = 2")
    assert shop.incremental() == 0

    counts = shop.lab.sync().counts

    assert counts.missed_updates == 6
    assert shop.categories() == expected() | dict.fromkeys((1, 5, 9), "tea") | dict.fromkeys(
        (2, 6, 10)
    )
    assert shop.lab.audit().clean


def test_a_joined_row_that_moved_is_not_counted_as_missed(shop: Shop) -> None:
    shop.write("posts", "title = 'later'", 11)
    shop.settle()
    shop.write("categories", "name = 'tea'", 1)

    assert shop.lab.sync().counts.missed_updates == 0


def test_rows_without_a_time_in_a_joined_table_are_counted(shop: Shop) -> None:
    shop.write("categories", "weight = 7, updated_at = NULL", 1, moves=False)

    counts = shop.lab.run(shop.lab.request(Mode.INCREMENTAL)).counts

    assert counts.untracked == 3


def test_the_rows_that_show_a_changed_row_are_found_and_applied_as_records(shop: Shop) -> None:
    shop.write("categories", "name = 'tea'", 2, moves=False)
    with open_lens(shop.lab.project, shop.lab.lens) as opened:
        pages = opened.bridge.parents_of(opened.selection, "category", ["2"])
        ids = sorted(int(key) for page in pages for key in page)

    by_records(shop.lab, ids)

    assert ids == [2, 6, 10]
    assert shop.categories() == expected() | dict.fromkeys(ids, "tea")
    assert shop.lab.audit().clean


def test_an_explanation_shows_the_joined_columns(sqlite_shop: Shop) -> None:
    found = explain(sqlite_shop.lab.project, ENV, sqlite_shop.lab.name, "1")

    assert found.row is not None
    assert found.row["category.name"] == "category 1"


def test_a_condition_and_shards_work_beside_joins(source: SourceDatabase, tmp_path: Path) -> None:
    shop = shop_in(
        source, tmp_path / "project", where="id > 2 AND name <> 'p5' AND updated_at > '2024-01-01'"
    )
    shop.lab.push(
        table="posts", fields=FIELDS, joins=JOINS, where="id > 2 AND name <> 'p5'", shards=3
    )
    shop.lab.full()

    assert sorted(shop.categories()) == [n for n in range(3, ROWS) if n != 5]
    assert shop.lab.object_of("6")["category"] == "category 2"
    shop.write("categories", "name = 'tea'", 1)
    shop.incremental()
    assert shop.categories()[9] == "tea"
    assert 5 not in shop.categories()


def test_a_joined_table_that_was_altered_is_read_as_it_is_now(shop: Shop) -> None:
    shop.settle()
    text = shop.source.type("text")
    shop.source.run(f"ALTER TABLE categories ADD COLUMN label {text}")
    shop.source.run("UPDATE categories SET label = 'x'")
    labelled = {"type": "text", "from": "category.label", "searchable": True}
    fields = FIELDS | {"category": labelled}
    shop.lab.push(table="posts", fields=fields, joins=JOINS)
    shop.lab.sync()
    assert shop.categories()[1] == "x"

    shop.source.run("ALTER TABLE categories DROP COLUMN label")

    with pytest.raises(SchemaMismatch, match=r"column 'category\.label' does not exist"):
        shop.lab.sync()
    shop.source.run(f"ALTER TABLE categories ADD COLUMN label {text}")
    shop.lab.sync()
    assert set(shop.categories().values()) == {None}


@pytest.mark.parametrize("way", [by_incremental, by_records, by_sync])
def test_a_unique_key_that_is_gone_stops_the_job_before_rows_are_doubled(
    source: SourceDatabase, tmp_path: Path, way: Way
) -> None:
    joins = {"category": {"table": "categories", "on": {"title": "code"}}}
    text = source.type("text")
    source.run(f"CREATE TABLE codes (id INTEGER PRIMARY KEY, code {text})")
    source.run("CREATE UNIQUE INDEX one_code ON codes (code)")
    source.insert("codes", [(1, "post 1"), (2, "post 2")])
    joins["category"]["table"] = "codes"
    shop = shop_in(
        source,
        tmp_path / "project",
        joins=joins,
        fields={
            "title": FIELDS["title"],
            "category": {"type": "text", "from": "category.code"},
        },
    )
    shop.lab.full()
    assert shop.categories()[1] == "post 1"
    shop.write("posts", "name = 'x'", 1)

    source.run("DROP INDEX one_code" + (" ON codes" if source.kind == "mariadb" else ""))
    source.insert("codes", [(3, "post 1")])

    with pytest.raises(SchemaMismatch, match="covers no unique key"):
        way(shop.lab, [1])
    assert shop.lab.indexed().height == ROWS


def test_a_joined_value_that_does_not_fit_sets_the_row_aside(sqlite_shop: Shop) -> None:
    sqlite_shop.lab.push(table="posts", fields=FIELDS, joins=JOINS, onMisfit="fail")
    sqlite_shop.write("categories", "weight = 'heavy'", 1)

    sqlite_shop.incremental()

    with sqlite_shop.lab.project.registry.read() as db:
        aside = failed_rows.keys(db, sqlite_shop.lab.lens.id, 10)
    assert sorted(aside) == ["1", "5", "9"]
