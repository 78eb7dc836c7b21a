"""A push registers lenses, starts nothing, and says what each index needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, select, update

from semilayer_pipelines.config.models import Bridge, LensConfig, ProjectConfig, SourceConfig
from semilayer_pipelines.control.push import PushAction, apply_push, plan_push, plan_removal
from semilayer_pipelines.errors import NotFound, Overtaken, SchemaMismatch, StoreUnavailable
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.retention import KEEP_RETIRED, tidy
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import cursors, lenses, sources, tables
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from semilayer_pipelines.stores.chunks.protocol import RowStore
from tests.lab import ENV, Lab, lens_config
from tests.registry.race import threads_at_once
from tests.workload import FIELDS

KEYWORD = {"type": "text", "searchable": True, "keyword": "exact"}
FOR_DAGSTER = {
    "deps": "dbt/items",
    "automation": "eager",
    "freshness": "2h",
    "description": "What the shop sells.",
    "group": "search",
    "owners": "team:shop",
    "tags": {"domain": "shop"},
}
WEIGHTED = FIELDS | {"name": {"type": "text", "searchable": {"weight": 2}}}


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"syncInterval": "5m", "guard": 0.5}, Needs.NOTHING),
        (FOR_DAGSTER, Needs.NOTHING),
        ({"fields": WEIGHTED}, Needs.SMART_SYNC),
        ({"fields": FIELDS | {"extra": {"type": "text", "from": "name"}}}, Needs.REBUILD),
        ({"embedding": {"provider": "hash", "dimensions": 8}}, Needs.REBUILD),
        ({"primaryKey": "name"}, Needs.REBUILD),
        ({"tenant": "category"}, Needs.REBUILD),
        ({"fields": FIELDS | {"name": KEYWORD}}, Needs.REBUILD),
    ],
)
def test_a_push_says_what_brings_the_index_in_line(
    tmp_path: Path, changes: dict[str, object], needs: Needs
) -> None:
    lab = Lab.at(tmp_path, rows=20)
    lab.full()

    lab.push(**changes)

    assert lab.lens.needs is needs
    assert lab.index.count() == 20  # existing vectors remain until re-ingest


def test_what_a_push_asks_for_is_done_by_it(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=20)
    lab.full()
    lab.push(fields=WEIGHTED)

    lab.sync()

    assert lab.lens.needs is Needs.NOTHING
    assert lab.audit().clean
    lab.push(fields=WEIGHTED)
    assert lab.lens.needs is Needs.NOTHING


def test_a_new_lens_is_paused_and_nothing_is_ingested(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=20)

    assert lab.lens.status is LensStatus.PAUSED
    assert lab.project.store(ENV).names() == []


def test_pushing_the_same_twice_changes_nothing_and_a_lens_left_out_goes_with_its_index(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=20)
    lab.full()
    config = {
        "stack": "test",
        "sources": {"main": {"bridge": "sql", "connection": f"sqlite:///{lab.database}"}},
    }
    same = config | {
        "lenses": {
            "items": {
                "source": "main",
                "table": "items",
                "embedding": {"provider": "hash"},
                "fields": FIELDS,
            }
        }
    }

    plan = plan_push(lab.project, ProjectConfig.model_validate(same), ENV)
    assert [lens.change for lens in plan.lenses] == [PushAction.UNCHANGED]

    none = ProjectConfig.model_validate(config | {"lenses": {}})
    plan = plan_push(lab.project, none, ENV)
    assert plan.deleted == ["items"]
    apply_push(lab.project, plan)
    with lab.project.registry.read() as db:
        assert lenses.list_all(db, ENV) == []
    assert lab.project.store(ENV).names() == []


def test_a_source_that_leaves_the_file_goes_where_no_lens_is_left_too(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1)
    source = {"bridge": "sql", "connection": f"sqlite:///{lab.database}"}
    env_id = lab.lens.env_id
    left = []
    for named in ({"main": source}, {"other": source}, {}):
        config = {"stack": "test", "sources": named, "lenses": {}}
        apply_push(lab.project, plan_push(lab.project, ProjectConfig.model_validate(config), ENV))
        with lab.project.registry.read() as db:
            left.append(list(sources.list_all(db, env_id)))

    assert left == [["main"], ["other"], []]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"table": "itmes"}, "items"),
        ({"primaryKey": "idd"}, "did you mean 'id'"),
        ({"changeTrackingColumn": "updatet_at"}, "did you mean 'updated_at'"),
        ({"fields": FIELDS | {"title": {"type": "text", "from": "nmae"}}}, "'name'"),
    ],
)
def test_what_the_source_does_not_have_is_an_error_that_names_the_nearest(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    lab = Lab.at(tmp_path, rows=5)

    with pytest.raises(SchemaMismatch, match=says) as mismatch:
        lab.push(**changes)

    assert mismatch.value.lens == "items"


def test_a_table_without_a_primary_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=5)
    with lab.source() as db:
        db.execute("CREATE TABLE keyless AS SELECT * FROM items")

    with pytest.raises(SchemaMismatch, match=r"no primary key.*primaryKey"):
        lab.push(table="keyless")


def test_a_lens_that_another_version_stored_is_unchanged_while_nothing_changed(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=5)
    lab.full()
    same = config_of(lab, items=lab.lens.config)
    # The configuration had fewer keys then, so the hash that the version kept of it is another.
    with lab.project.registry.begin() as db:
        db.execute(update(tables.lenses).values(config_hash="of an older version"))

    plan = plan_push(lab.project, same, ENV)

    assert [(lens.change, lens.needs) for lens in plan.lenses] == [
        (PushAction.UNCHANGED, Needs.NOTHING)
    ]
    assert plan.drift == ()
    assert lab.sync().counts.written == 0
    # And what did change is told alone.
    other = config_of(lab, items=lab.lens.config.model_copy(update={"guard": 0.5}))
    (found,) = plan_push(lab.project, other, ENV).lenses
    assert found.change is PushAction.UPDATED
    assert [edit.path for edit in found.edits] == [("guard",)]


def config_of(lab: Lab, database: str = "source.db", /, **named: LensConfig) -> ProjectConfig:
    """Return a configuration of these lenses over a database of the lab's folder."""
    source = SourceConfig(bridge=Bridge.SQL, connection=f"sqlite:///{lab.folder / database}")
    return ProjectConfig(stack="test", sources={"main": source}, lenses=named)


def registered(lab: Lab) -> list[tuple[object, ...]]:
    """Return every row that a push could write."""
    with lab.project.registry.read() as db:
        return [
            tuple(row)
            for table in (tables.environments, tables.sources, tables.lenses)
            for row in db.execute(select(table))
        ]


def test_a_push_of_what_is_there_writes_nothing(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=5)
    before = registered(lab)

    lab.push()

    assert registered(lab) == before


def test_of_two_pushes_that_looked_at_the_same_the_second_writes_nothing(tmp_path: Path) -> None:
    # given two plans made for the same registry
    lab = Lab.at(tmp_path, rows=5)
    one = plan_push(lab.project, config_of(lab, items=lens_config(guard=0.5)), ENV)
    other = plan_push(
        lab.project, config_of(lab, items=lens_config(guard=0.6), more=lens_config()), ENV
    )

    # when both are written
    apply_push(lab.project, one)
    before = registered(lab)
    with pytest.raises(Overtaken, match="Push again"):
        apply_push(lab.project, other)

    # then the first is whole, and of the second there is nothing
    assert lab.lens.config.guard == 0.5
    assert registered(lab) == before


@pytest.fixture(params=["sqlite", "postgres"])
def contested(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    """A lab whose registry is of either kind."""
    lab = Lab.at(tmp_path, rows=5)
    if request.param == "postgres":
        url = make_url(request.getfixturevalue("postgres_database"))
        shown = url.render_as_string(hide_password=False)
        lab.project = Project(replace(lab.project.settings, registry_url=shown), {})
    return lab


def test_pushes_of_the_same_moment_do_not_interleave(contested: Lab) -> None:
    # given pushes of the same lenses, told apart by their guards
    project, pushes = contested.project, 5

    def push(number: int) -> float:
        guard = (number + 1) / 10
        names = {f"lens{n}": lens_config(guard=guard) for n in range(4)}
        while True:
            try:
                apply_push(project, plan_push(project, config_of(contested, **names), "raced"))
            except Overtaken:
                continue
            return guard

    # when all push at once, each until it was not overtaken
    guards = threads_at_once(push, pushes)

    # then what is registered is one of them, whole
    with project.registry.read() as db:
        left = {lens.config.guard for lens in lenses.list_all(db, "raced")}
        count = len(lenses.list_all(db, "raced"))
    assert len(set(guards)) == pushes
    assert (count, len(left)) == (4, 1)
    assert left <= set(guards)
    project.registry.close()


def test_a_run_whose_lens_is_removed_under_it_ends_and_leaves_no_index(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1_200)

    def remove(_: PageDone) -> None:
        apply_push(lab.project, plan_removal(lab.project, ENV, "items"))

    with pytest.raises(NotFound, match="no longer registered"):
        lab.full(report=remove)

    assert lab.project.store(ENV).names() == []


def test_a_plan_does_not_outlive_a_rebuild(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=5)
    lab.full()
    plan = plan_push(lab.project, config_of(lab, items=lens_config(guard=0.5)), ENV)

    lab.full()

    with pytest.raises(Overtaken):
        apply_push(lab.project, plan)


@dataclass(frozen=True)
class StoreIsDown(Project):
    """A project whose store does not answer."""

    def store(self, env: str) -> RowStore:
        raise StoreUnavailable("The store does not answer.")


def test_the_index_of_a_removed_lens_goes_even_if_the_store_was_down(tmp_path: Path) -> None:
    # given a removal during which the store is away
    lab = Lab.at(tmp_path, rows=5)
    lab.full()
    down = StoreIsDown(lab.project.settings, {})
    with pytest.raises(StoreUnavailable):
        apply_push(down, plan_push(down, config_of(lab), ENV))
    with lab.project.registry.read() as db:
        assert lenses.list_all(db, ENV) == []
    assert len(lab.project.store(ENV).names()) == 1

    # when the store is back, and no run of the lens can write any more
    later = replace(
        lab.project, clock=lambda: lab.project.clock() + KEEP_RETIRED + timedelta(seconds=1)
    )

    # then its index goes with the next tidying up, once
    assert len(tidy(later).indexes) == 1
    assert lab.project.store(ENV).names() == []
    assert tidy(later).indexes == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"primaryKey": "doc"}, "cannot identify a row"),
        ({"changeTrackingColumn": "sold"}, "no order that follows changes"),
        ({"syncInterval": "5m"}, "changeTrackingColumn"),
    ],
)
def test_columns_of_a_type_that_cannot_serve_are_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    lab = Lab.at(tmp_path, rows=1)
    with lab.source() as db:
        db.execute("CREATE TABLE odd (id INTEGER PRIMARY KEY, name TEXT, doc JSON, sold BOOLEAN)")
    fields = {"name": {"type": "text", "searchable": True}}

    with pytest.raises(SchemaMismatch, match=says):
        lab.push(table="odd", fields=fields, **changes)


def test_another_database_under_a_name_concerns_every_lens_of_it(tmp_path: Path) -> None:
    # given two lenses of one source, one of them indexed and with a cursor
    lab = Lab.at(tmp_path, rows=20)
    both = {"items": lens_config(), "others": lens_config()}
    apply_push(lab.project, plan_push(lab.project, config_of(lab, **both), ENV))
    lab.full()
    with lab.project.registry.read() as db:
        assert cursors.get(db, lab.lens.id) is not None
    lab.database.rename(tmp_path / "moved.db")

    # when the source is pointed elsewhere by a push of the other lens alone
    moved = config_of(lab, "moved.db", **both)
    apply_push(lab.project, plan_push(lab.project, moved, ENV, only=["others"]))

    # then the indexed one is to be compared with what is there
    assert lab.lens.needs is Needs.SMART_SYNC
    with lab.project.registry.read() as db:
        assert cursors.get(db, lab.lens.id) is None


def test_a_mapping_that_is_taken_back_is_still_compared(tmp_path: Path) -> None:
    # a sync may have brought the new one in for some rows when it was paused
    lab = Lab.at(tmp_path, rows=20)
    lab.full()

    lab.push(fields=WEIGHTED)
    lab.push()

    assert lab.lens.needs is Needs.SMART_SYNC
