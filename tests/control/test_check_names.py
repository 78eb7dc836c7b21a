"""Two lenses that Dagster takes for one are refused at push, with both names in the message."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.check_names import check_lens_names
from semilayer_pipelines.control.push import Plan, apply_push, plan_push
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.lens_names import LensName, dagster_word, distinct
from semilayer_pipelines.orchestration.names import asset_key
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import lenses
from tests.lab import lens_config
from tests.workload import create_items

ENVS = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
LENSES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,62}", fullmatch=True)


@given(ENVS, LENSES)
def test_the_word_is_the_one_that_dagster_makes(env: str, lens: str) -> None:
    key = dg.AssetKey(asset_key(env, lens))

    assert dagster_word(LensName(env, lens)) == key.to_python_identifier()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    create_items(tmp_path / "source.db", 3)
    return Project(Settings.from_environ({}, tmp_path), {})


def planned(project: Project, env: str, *names: str, only: tuple[str, ...] = ()) -> Plan:
    database = project.settings.root / "source.db"
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {"main": {"bridge": "sql", "connection": f"sqlite:///{database}"}},
            "lenses": {name: lens_config() for name in names},
        }
    )
    return plan_push(project, config, env, only=only)


CLASHES = [
    ("my-docs", "my_docs"),
    ("a-b_c", "a_b-c"),
    ("my-orders--all", "my_orders__all"),
    ("x-", "x_"),
]


@pytest.mark.parametrize(("one", "other"), CLASHES)
def test_names_in_one_file_that_dagster_takes_for_one_are_refused(
    project: Project, one: str, other: str
) -> None:
    with pytest.raises(ConfigError, match=f"Dagster cannot tell.*'{one}' and '{other}' apart"):
        planned(project, "test", one, "unlike", other)


@pytest.mark.parametrize(("one", "other"), CLASHES)
def test_a_name_beside_a_registered_one_is_refused_either_way_round(
    project: Project, one: str, other: str
) -> None:
    for env, first, second in (("e", one, other), ("f", other, one)):
        apply_push(project, planned(project, env, first))
        with pytest.raises(ConfigError, match=f"'{first}' and '{second}' apart"):
            planned(project, env, second, only=(second,))


def test_a_rename_in_the_file_takes_the_place_of_the_old_name(project: Project) -> None:
    apply_push(project, planned(project, "test", "my-docs"))

    apply_push(project, planned(project, "test", "my_docs"))

    with project.registry.read() as db:
        assert [lens.name for lens in lenses.list_all(db, "test")] == ["my_docs"]


def test_names_of_two_environments_are_checked_against_each_other(project: Project) -> None:
    apply_push(project, planned(project, "a", "b__c"))
    plan = planned(project, "a", "b__c", "c")
    assert [lens.name for lens in plan.lenses] == ["b__c", "c"]

    with pytest.raises(ConfigError, match="'b__c' of 'a' and 'c' of 'a--b' apart"):
        planned(project, "a--b", "c")


def test_every_clash_is_told_at_once(project: Project) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(project, "test", "a-a", "a_a", "b-b", "b_b")

    assert caught.value.message.count("cannot tell") == 2


def test_a_push_to_another_environment_between_look_and_write_is_seen(project: Project) -> None:
    plan = planned(project, "a--b", "c")
    apply_push(project, planned(project, "a", "b__c"))

    with pytest.raises(ConfigError, match="apart"):
        apply_push(project, plan)

    with project.registry.read() as db:
        assert not lenses.list_all(db, "a--b")


def test_a_clash_among_others_does_not_stop_a_push_of_one() -> None:
    names = [LensName("e", "a-b"), LensName("e", "a_b"), LensName("e", "c")]
    assert distinct(names) == {names[1]: names[0]}

    check_lens_names([names[2]], names[:2], store="lancedb", environ={})
    with pytest.raises(ConfigError, match="apart"):
        check_lens_names([names[0]], names, store="lancedb", environ={})
