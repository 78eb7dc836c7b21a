"""A push registers lenses, starts nothing, and says what each index needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.push import Change, apply_push, plan_push
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from tests.lab import ENV, Lab
from tests.workload import FIELDS

WEIGHTED = FIELDS | {"name": {"type": "text", "searchable": {"weight": 2}}}


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"syncInterval": "5m", "guard": 0.5}, Needs.NOTHING),
        ({"fields": WEIGHTED}, Needs.SMART_SYNC),
        ({"fields": FIELDS | {"extra": {"type": "text", "from": "name"}}}, Needs.REBUILD),
        ({"embedding": {"provider": "hash", "dimensions": 8}}, Needs.REBUILD),
        ({"primaryKey": "name"}, Needs.REBUILD),
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
    assert [lens.change for lens in plan.lenses] == [Change.UNCHANGED]

    none = ProjectConfig.model_validate(config | {"lenses": {}})
    plan = plan_push(lab.project, none, ENV)
    assert plan.deleted == ["items"]
    apply_push(lab.project, plan)
    with lab.project.registry.read() as db:
        assert lenses.list_all(db, ENV) == []
    assert lab.project.store(ENV).names() == []


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
