"""A push refuses lenses that wait for themselves; else a lens may wait for another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.control.push import PushAction
from semilayer_pipelines.control.push_config import push_config
from semilayer_pipelines.errors import ConfigError
from tests.cli.project import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.at(tmp_path, rows=1)


def write(folder: Folder, **deps: list[str]) -> None:
    folder.write(lenses={name: {"deps": keys} for name, keys in deps.items()})


def line_of(folder: Folder, number: int) -> int:
    """Return the line of the `deps` that come as number so many in the file."""
    text = (folder.path / "sl.config.yaml").read_text("utf-8")
    return [n for n, line in enumerate(text.splitlines(), 1) if '"deps"' in line][number]


@pytest.mark.parametrize(
    "own", ["development/items", "development/items/items_published"], ids=["rows", "index"]
)
def test_a_lens_that_waits_for_its_own_asset_is_refused(own: str, folder: Folder) -> None:
    write(folder, items=["dbt/items", own])

    with pytest.raises(ConfigError, match="waits for its own asset") as refused:
        push_config(folder.project)

    place = f"sl.config.yaml:{line_of(folder, 0)}: lenses.items.deps: "
    assert str(refused.value).startswith(f"lens 'items': {place}")
    assert refused.value.cure


def test_lenses_that_wait_for_each_other_are_refused_each_with_its_line(folder: Folder) -> None:
    write(
        folder,
        a=["development/c/c_published"],
        b=["development/a"],
        c=["development/b"],
        d=["development/a"],
    )

    with pytest.raises(ConfigError) as refused:
        push_config(folder.project)

    told = str(refused.value)
    for number, (name, way) in enumerate((("a", "acb"), ("b", "bac"), ("c", "cba"))):
        assert (
            f"lens '{name}': sl.config.yaml:{line_of(folder, number)}: lenses.{name}.deps: "
            f"these lenses wait for each other: {', '.join(map(repr, way))}."
        ) in told
    # What only waits for them is no part of it.
    assert "lens 'd'" not in told


def test_a_circle_by_way_of_a_lens_that_is_registered_is_refused(folder: Folder) -> None:
    # given one that waits for the other, which is of another environment
    write(folder, a=[], b=["production/a"])
    push_config(folder.project, only=["b"])

    # when the other one is to wait for it
    write(folder, a=["development/b"], b=["production/a"])

    # then
    with pytest.raises(ConfigError, match="wait for each other: 'a', 'b' of 'development'"):
        push_config(folder.project, env="production", only=["a"])
    (pushed,) = push_config(folder.project, env="staging", only=["a"]).lenses
    assert pushed.change is PushAction.CREATED


def test_a_lens_that_a_push_removes_is_no_part_of_a_circle(folder: Folder) -> None:
    write(folder, a=["development/b"], b=["development/c"])
    push_config(folder.project)

    write(folder, a=["dbt/a"], c=["development/b"])
    pushed = push_config(folder.project, remove_lenses=True)

    assert pushed.deleted == ["b"]


def test_a_lens_may_wait_for_another_one_that_waits_for_a_third(folder: Folder) -> None:
    write(folder, a=["development/b", "development/c"], b=["development/c"], c=["dbt/a"])

    assert len(push_config(folder.project).lenses) == 3
