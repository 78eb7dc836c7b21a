"""Whatever a lens may say to Dagster, Dagster takes: a lens that it refuses is not shown."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.definitions.utils import validate_asset_owner, validate_group_name
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_schedule
from dagster._utils.tags import normalize_tags
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from semilayer_pipelines.config.cron import cron_problem
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.config.orchestrated import checked_owner, checked_tags
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import SHARDS
from tests.workload import FIELDS

PART = st.text("0123456789*/-,", max_size=5) | st.sampled_from(
    ["*", "*/5", "1-5", "mon", "mon-fri", "SUN", "7", "jan", "L", "?", "31", "30", "5#2", "1-6/2"]
)
CRON = st.lists(PART, min_size=4, max_size=6).map(" ".join) | st.just("@daily")


@given(CRON)
@example("0 0 31 2,4 *")
@example("0 0 30 2 *")
@example("0 0 29 2 *")
@example("0 0 * * 7")
@example("0 0 * * 5-7")
def test_a_cron_that_a_push_takes_comes_some_day(cron: str) -> None:
    if cron_problem(cron) is None:
        assert is_valid_cron_schedule(cron), cron
        now = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
        assert next(cron_string_iterator(now, cron, "UTC")).timestamp() >= now


@given(
    st.text("aZ9_.-%+@ é\n", max_size=12) | st.from_regex(r"[\w.]+@[\w.-]+\.\w+", fullmatch=True)
)
@example("team:the shop")
@example("team:")
@example("anna@shop.technology")
@example("änna@shop.example")
@example(".anna@shop.example")
@example("anna@shop.example\n")
def test_an_owner_that_a_push_takes_is_one_of_dagsters(owner: str) -> None:
    with suppress(ValueError):
        validate_asset_owner(checked_owner(owner), dg.AssetKey("lens"))


@given(st.text("aZ9_.-/ é\n", max_size=8), st.text("aZ9_.-/ é\n", max_size=70))
@example("a/b", "")
@example("a/b/c", "x")
@example("a" * 63, "a" * 63)
@example("a" * 64, "a" * 64)
def test_a_tag_that_a_push_takes_is_one_of_dagsters(name: str, value: str) -> None:
    with suppress(ValueError):
        normalize_tags(checked_tags({name: value}), strict=True)


@given(st.text("aZ9_/- é\n", max_size=6))
@example("search/shop")
def test_a_group_that_a_push_takes_is_one_of_dagsters(group: str) -> None:
    lens = {"source": "main", "table": "items", "fields": FIELDS, "group": group}
    with suppress(ValidationError):
        validate_group_name(LensConfig.model_validate(lens).group)


@pytest.mark.parametrize("owner", ["anna@shop.example", "a.b+c@x-y.co.uk", "team:shop", "team:a b"])
def test_owners_that_people_have_are_taken(owner: str) -> None:
    assert checked_owner(owner) == owner


def test_the_tables_that_a_lens_joins_are_upstream_of_it(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    with lab.source() as db:
        db.execute("CREATE TABLE stock (item INTEGER PRIMARY KEY, left_over INTEGER)")
    lab.push(
        joins={
            "twin": {"table": "items", "on": {"id": "id"}},
            "stock": {"table": "stock", "on": {"id": "item"}},
        },
        fields=FIELDS | {"left": {"type": "number", "from": "stock.left_over"}},
    )

    graph = build_definitions(lab.project).resolve_asset_graph()

    tables = {dg.AssetKey(["test", "main", name]) for name in ("items", "stock")}
    assert graph.get(SHARDS).parent_keys == tables


def test_a_lens_may_name_its_own_table_as_what_it_is_made_by(make_lab: MakeLab) -> None:
    # given a person whose own asset has the key of the table, as a dbt model may
    lab = make_lab(3, deps=["test/main/items"], automation="eager")

    @dg.asset(key=["test", "main", "items"])
    def their_model() -> None:
        pass

    # when it stands alone, and beside theirs
    alone = build_definitions(lab.project)
    theirs = dg.Definitions(assets=[their_model])

    # then the lens has it as its one parent, and waits for it
    dg.Definitions.validate_loadable(alone)
    lens = alone.resolve_asset_graph().get(SHARDS)
    assert lens.parent_keys == {dg.AssetKey(["test", "main", "items"])}
    assert lens.automation_condition is not None
    both = dg.Definitions.merge(theirs, alone)
    dg.Definitions.validate_loadable(both)
    assert both.resolve_asset_graph().get(their_model.key).is_executable
