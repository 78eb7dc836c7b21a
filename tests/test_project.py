"""A project is opened where it is; a wrong path says what to do, and leaves nothing behind."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.embedders import BuiltWith
from semilayer_pipelines.embedders.local.model_source import find_model, vector_space
from semilayer_pipelines.errors import ConfigError, ModelUnavailable
from semilayer_pipelines.project import Project, Settings
from tests.cli.project import Folder
from tests.embedders.tiny_model import save_tiny_model
from tests.embedders.tiny_reranker import save_tiny_reranker
from tests.ordinary_user import ordinary_user
from tests.workload import create_items


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SEMILAYER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a configuration, beside which others can be wrong."""
    folder = tmp_path / "shop"
    folder.mkdir()
    Folder.at(folder)
    return folder


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_is_opened_by_any_of_its_names(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.parent)
    (shop / "below").mkdir()

    by_path = [Project.at(name) for name in (shop, str(shop), "shop", shop / "sl.config.yaml")]
    monkeypatch.chdir(shop / "below")
    by_path.append(Project.here())

    assert {project.settings.root for project in by_path} == {shop}
    assert {project.settings.home for project in by_path} == {shop / ".semilayer"}
    assert all("items" in load_config(project.settings.config).lenses for project in by_path)


def test_a_configuration_may_have_any_name(shop: Path) -> None:
    (shop / "sl.config.yaml").rename(shop / "other.yaml")

    project = Project.at(shop / "other.yaml")

    assert project.settings.config == shop / "other.yaml"
    assert project.settings.root == shop


def test_a_path_wins_over_the_place_that_the_environment_names(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMILAYER_ROOT", str(tmp_path))
    monkeypatch.setenv("SEMILAYER_CONFIG", "elsewhere.yaml")
    monkeypatch.setenv("SEMILAYER_STORE", "weaviate")

    settings = Project.at(shop).settings

    assert (settings.root, settings.config) == (shop, shop / "sl.config.yaml")
    assert settings.store == "weaviate"


def test_a_configuration_that_is_named_is_in_its_projects_folder(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a folder that is no project, and a file that is a link, as a mounted one is
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (shop / "sl.config.yaml").rename(tmp_path / "mounted.yaml")
    (shop / "sl.config.yaml").symlink_to(tmp_path / "mounted.yaml")
    monkeypatch.chdir(elsewhere)

    for named in (str(shop / "sl.config.yaml"), f"../{shop.name}/sl.config.yaml"):
        monkeypatch.setenv("SEMILAYER_CONFIG", named)
        settings = Project.here().settings
        assert (settings.root, settings.home) == (shop, shop / ".semilayer")
    monkeypatch.setenv("SEMILAYER_ROOT", str(elsewhere))
    assert Project.here().settings.home == elsewhere / ".semilayer"


def test_what_an_earlier_version_kept_elsewhere_is_not_begun_anew(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given what 0.2.0 kept in the folder of the program, and not beside the configuration
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".semilayer").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("SEMILAYER_CONFIG", str(shop / "sl.config.yaml"))

    with pytest.raises(ConfigError, match=r"what it keeps is in .*elsewhere") as refused:
        Project.here()
    assert f"SEMILAYER_ROOT={elsewhere}" in refused.value.cure

    # then it is not refused in the folder of another project, nor once the project has its own
    (elsewhere / "sl.config.yaml").touch()
    assert Project.here().settings.root == shop
    (elsewhere / "sl.config.yaml").unlink()
    (shop / ".semilayer").mkdir()
    assert Project.here().settings.root == shop


@pytest.mark.parametrize("named", [None, "{closed}/sl.config.yaml"])
def test_a_folder_that_is_closed_to_this_user_is_told_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    # given a folder below one that this user may not enter, as after `sudo -u` in a home
    closed = tmp_path / "closed"
    (closed / "below").mkdir(parents=True)
    (closed / "sl.config.yaml").touch()
    if named is not None:
        monkeypatch.setenv("SEMILAYER_CONFIG", named.format(closed=closed))
    monkeypatch.chdir(closed / "below")
    closed.chmod(0)

    try:
        with ordinary_user(), pytest.raises(ConfigError) as told:
            Project.here()
    finally:
        closed.chmod(0o755)

    wanted = (
        "There is no sl.config.yaml in" if named is None else f"SEMILAYER_CONFIG names {closed}"
    )
    assert wanted in told.value.message
    assert "semilayer init" in told.value.cure


def test_a_working_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(ConfigError, match="The working folder cannot be used"):
        Project.here()


def test_the_environment_is_the_one_that_is_named_or_set(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Project.at(shop).settings.env == "development"
    monkeypatch.setenv("SEMILAYER_ENV", "staging")
    assert Project.at(shop).settings.env == "staging"
    assert Project.at(shop, env="production").settings.env == "production"


def test_a_relative_sqlite_file_is_the_projects_from_whatever_folder(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a file in the project's folder, and others of its name where programs are started
    create_items(shop / "shop.db", 3)
    (shop / "below").mkdir()
    another = shop / "below" / "shop.db"
    another.write_text("another")
    os.utime(another, (0, 0))
    source = SourceConfig.model_validate({"bridge": "sql", "connection": "sqlite:///shop.db"})

    # when
    monkeypatch.chdir(shop.parent)
    projects = [Project.at("shop")]
    monkeypatch.chdir(shop / "below")
    projects.append(Project.here())

    # then
    for project in projects:
        with closing(project.bridge("main", source)) as bridge:
            assert bridge.count(Selection("items", ("id",), ("id",))) == 3
        written = project.last_written("main", source)
        assert written is not None
        assert written.year > 1970


def test_a_relative_folder_of_a_model_is_the_projects_from_whatever_folder(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given models in the project's folder, and others of their names where programs are started
    (shop / "below").mkdir()
    saved = {}
    for seed, root in enumerate((shop, shop / "below", shop.parent)):
        model = save_tiny_model(root / "models" / "words", scale=seed + 1.0)
        order = save_tiny_reranker(root / "models" / "order", seed=seed)
        about = {"prompts": {"document": f"{seed}: "}, "default_prompt_name": None}
        (model / "config_sentence_transformers.json").write_text(json.dumps(about))
        saved[root] = find_model(str(model), None), find_model(str(order), None)
    config = EmbeddingConfig(model="models/words")
    static = EmbeddingConfig(provider="static", model="models/words")

    # when
    monkeypatch.chdir(shop.parent)
    projects = [Project.at("shop")]
    monkeypatch.chdir(shop / "below")
    projects.append(Project.here())

    # then
    words, cross = map(vector_space, saved[shop])
    assert len({vector_space(one) for models in saved.values() for one in models}) == 6
    for project in projects:
        assert project.build_of(config) == BuiltWith("0: ")
        assert words in project.embedder(config).fingerprint
        assert words in project.embedder(static).fingerprint
        assert cross in project.reranker("models/order/model").fingerprint


def test_a_model_that_is_not_in_the_projects_folder_is_told_with_that_folder(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.parent)
    save_tiny_model(shop.parent / "models")

    with pytest.raises(ModelUnavailable, match="does not exist in") as told:
        assert Project.at("shop").embedder(EmbeddingConfig(model="./models")).fingerprint

    assert str(shop) in told.value.message


@pytest.mark.parametrize("wrong", ["shp", "shop/below", "."])
def test_a_wrong_path_says_what_to_do_and_makes_nothing(
    wrong: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    (shop / "below").mkdir()
    monkeypatch.chdir(shop.parent)
    before = everything(shop.parent)

    # when
    with pytest.raises(ConfigError) as caught:
        Project.at(wrong)

    # then
    assert str(wrong) in caught.value.message
    assert caught.value.cure
    assert everything(shop.parent) == before


def test_here_in_a_folder_that_is_no_project_says_so_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match=r"no sl\.config\.yaml in .* or any folder above") as told:
        Project.here()

    assert "semilayer init" in told.value.cure
    assert everything(tmp_path) == set()


@pytest.mark.parametrize("name", ["SEMILAYER_ROOT", "SEMILAYER_HOME", "SEMILAYER_REGISTRY_URL"])
def test_a_setting_that_names_the_place_needs_no_configuration(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "state"
    value = f"sqlite:///{place}.db" if name == "SEMILAYER_REGISTRY_URL" else str(place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)

    assert Project.here().registry


def test_a_folder_that_was_used_before_needs_no_configuration(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given state, and a configuration that lies elsewhere
    assert Project.at(shop).registry
    (shop / "sl.config.yaml").unlink()

    assert Project.at(shop).settings.root == shop
    monkeypatch.chdir(shop)
    assert Project.here().settings.root == shop


def test_the_configuration_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    (tmp_path / "sl.config.yaml").write_text("stack: shop\n", encoding="utf-8")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    settings = Settings.from_environ({}, below)

    assert settings.config == tmp_path / "sl.config.yaml"
    assert settings.root == tmp_path


def test_without_a_configuration_the_folder_itself_is_the_project(tmp_path: Path) -> None:
    settings = Settings.from_environ({}, tmp_path)

    assert settings.config == tmp_path / "sl.config.yaml"
    assert not settings.config.exists()
    assert settings.root == tmp_path
