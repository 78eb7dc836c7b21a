"""A person's own program registers its file, and loses nothing that it did not say it would."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.control import push_config as module
from semilayer_pipelines.control.patch import change_lens
from semilayer_pipelines.control.push import Plan, PushAction, apply_push, plan_push
from semilayer_pipelines.control.push_config import push_agreed, push_config
from semilayer_pipelines.errors import ConfigError, NotFound, Overtaken, Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from tests.cli.project import Folder

TWO: dict[str, dict[str, object]] = {"items": {}, "others": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder.at(tmp_path, rows=3)
    made.write(lenses=TWO)
    return made


def known(project: Project, env: str = "development") -> set[str]:
    with project.registry.read() as db:
        return {lens.name for lens in lenses.list_all(db, env)}


def test_the_file_is_registered_in_the_projects_environment_or_the_one_named(
    folder: Folder,
) -> None:
    plan = push_config(folder.project)
    push_config(folder.project, env="production", only=["others"])

    assert {lens.name: lens.change for lens in plan.lenses} == dict.fromkeys(
        TWO, PushAction.CREATED
    )
    assert known(folder.project) == {"items", "others"}
    assert known(folder.project, "production") == {"others"}


def test_a_lens_that_left_the_file_is_removed_only_where_that_is_allowed(folder: Folder) -> None:
    # given
    push_config(folder.project)
    folder.write(lenses={"items": {}})

    # when, then
    with pytest.raises(Refused, match=r"'?others'? any more.*remove_lenses"):
        push_config(folder.project)
    assert known(folder.project) == {"items", "others"}

    plan = push_config(folder.project, remove_lenses=True)
    assert plan.deleted == ["others"]
    assert known(folder.project) == {"items"}


def test_what_was_changed_elsewhere_is_undone_only_where_that_is_allowed(folder: Folder) -> None:
    # given a lens whose cadence somebody changed through the API
    project = folder.project
    push_config(project)
    change_lens(project, "development", "items", {"syncInterval": "1h"}, origin="api")
    folder.write(lenses=TWO | {"others": {"syncInterval": "5m"}})

    # when, then
    with pytest.raises(Refused, match=r"items was changed elsewhere.*undo_drift"):
        push_config(project)
    push_config(project, undo_drift=True)
    with project.registry.read() as db:
        assert lenses.get(db, "development", "items").config.sync_interval is None


def test_a_mistake_in_the_file_or_a_name_registers_nothing(folder: Folder) -> None:
    with pytest.raises(NotFound, match="itms"):
        push_config(folder.project, only=["itms"])
    (folder.path / "sl.config.yaml").write_text("stack: a\nlenzes: {}\n")
    with pytest.raises(ConfigError, match="lenzes"):
        push_config(folder.project)

    assert known(folder.project) == set()


def test_a_push_that_was_overtaken_is_agreed_to_again_and_not_for_ever(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given another push between every look and its write
    project, config = folder.project, load_config(folder.path / "sl.config.yaml")
    asked: list[Plan] = []
    faster = module.LOOKS - 1

    def agreed(plan: Plan) -> None:
        asked.append(plan)
        if len(asked) <= faster:
            interval = f"{5 if len(asked) % 2 else 15}m"
            folder.write(lenses={"items": {"syncInterval": interval}})
            other = load_config(folder.path / "sl.config.yaml")
            apply_push(project, plan_push(project, other, plan.env))

    # when, then it wins the last look
    push_agreed(project, config, "development", only=(), agreed=agreed)
    assert len(asked) == module.LOOKS
    assert known(project) == {"items", "others"}

    # and gives up where there was no such look
    asked.clear()
    faster = module.LOOKS
    with pytest.raises(Overtaken):
        push_agreed(project, config, "development", only=(), agreed=agreed)
