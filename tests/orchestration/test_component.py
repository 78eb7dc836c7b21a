"""The lenses as a Component in a person's own Dagster project."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox

from semilayer_pipelines import SemilayerLenses
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.project import Project, Settings
from tests.cli.project import Folder

OURS = {"development/main/items", "development/items", "development/items/items_published"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder of a project with a lens."""
    (tmp_path / "shop").mkdir()
    folder = Folder.at(tmp_path / "shop", rows=3)
    project = Project(Settings.from_environ({}, folder.path))
    apply_push(
        project, plan_push(project, load_config(folder.path / "sl.config.yaml"), "development")
    )
    return folder.path


def keys(definitions: dg.Definitions) -> set[str]:
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string() for key in graph.get_all_asset_keys()}


@pytest.mark.parametrize("file", [False, True])
def test_a_component_brings_the_lenses_of_a_project(shop: Path, file: bool) -> None:
    named = str(shop / "sl.config.yaml") if file else str(shop)
    with create_defs_folder_sandbox() as theirs:
        at = theirs.scaffold_component(
            SemilayerLenses, defs_yaml_contents=_yaml(named), defs_path="lenses"
        )
        with theirs.load_component_and_build_defs(at) as (component, definitions):
            assert isinstance(component, SemilayerLenses)
            assert keys(definitions) == OURS
            # Nothing that a person's own definitions may have as well.
            assert definitions.executor is None
            assert not definitions.loggers
            assert set(definitions.resources or {}) == {"semilayer"}


def test_a_path_is_relative_to_the_file_that_names_it(shop: Path) -> None:
    with create_defs_folder_sandbox() as theirs:
        (theirs.defs_folder_path / "shop").symlink_to(shop)
        at = theirs.scaffold_component(
            SemilayerLenses, defs_yaml_contents=_yaml("../shop"), defs_path="lenses"
        )
        with theirs.load_component_and_build_defs(at) as (_, definitions):
            assert keys(definitions) == OURS


def test_what_is_scaffolded_names_the_folder_of_the_persons_project() -> None:
    with create_defs_folder_sandbox() as theirs:
        at = theirs.scaffold_component(SemilayerLenses, defs_path="lenses")

        written = (at / "defs.yaml").read_text()

    assert "type: semilayer_pipelines" in written
    assert "project: '{{ project_root }}'" in written


def test_a_wrong_path_is_an_error_and_makes_no_project(tmp_path: Path) -> None:
    wrong = tmp_path / "sohp"
    with create_defs_folder_sandbox() as theirs:
        at = theirs.scaffold_component(
            SemilayerLenses, defs_yaml_contents=_yaml(str(wrong)), defs_path="lenses"
        )

        with (
            pytest.raises(ComponentTreeException) as caught,
            theirs.load_component_and_build_defs(at),
        ):
            pass

    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, ConfigError):
        error = error.__cause__
    assert error is not None
    assert error.message == f"`project: {wrong}` leads to {wrong}, which does not exist."
    assert error.cure.endswith(f"paths are relative to {at}.")
    assert list(tmp_path.iterdir()) == []


def test_two_projects_in_one_code_location_are_refused_with_what_to_do(
    shop: Path, tmp_path: Path
) -> None:
    with create_defs_folder_sandbox() as theirs:
        for name in ("one", "two"):
            at = theirs.scaffold_component(
                SemilayerLenses, defs_yaml_contents=_yaml(str(shop)), defs_path=name
            )

        with (
            pytest.raises(ComponentTreeException) as refused,
            theirs.load_component_and_build_defs(at),
        ):
            pass

    cause = refused.value.__cause__
    assert isinstance(cause, ConfigError)
    assert "2 components of this code location show lenses: `project: " in cause.message
    assert "a code location of its own" in cause.cure


def test_the_schema_of_its_yaml_says_what_each_key_means() -> None:
    model = SemilayerLenses.get_model_cls()
    assert model is not None
    schema = model.model_json_schema()

    assert set(schema["properties"]) == {"project"}
    assert "sl.config.yaml" in schema["properties"]["project"]["description"]
    assert schema["required"] == ["project"]


def _yaml(project: str) -> dict[str, object]:
    return {"type": "semilayer_pipelines.SemilayerLenses", "attributes": {"project": project}}
