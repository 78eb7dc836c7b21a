"""Export brings changes back into the file, and leaves everything else of it as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.control.export import plan_export, write_export
from semilayer_pipelines.control.patch import change_lens
from semilayer_pipelines.control.push import PushAction, apply_push, plan_push
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import lenses
from tests.workload import create_items

ENV = "test"
FILE = """\
# yaml-language-server: $schema=x
stack: shop      # the whole of it

sources:
  main: { bridge: sql, connection: "sqlite:///DATABASE" }

lenses:
  # What people look for.
  items:
    source: main
    table: items   # a view would do
    # Numbers, not names.
    primaryKey: id
    embedding: { provider: hash }
    # Most telling first.
    fields:
      name: { type: text, searchable: true }   # short
      description:
        type: text
        searchable: { weight: 2 }
      category: {type: text,
                 nullAs: 'none'}

  # A second look at the same rows.
  others:
      source: main
      table: items
      embedding: {provider: hash}
      fields:   {name: {type: text, searchable: true}}
# the end
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose lenses were pushed."""
    create_items(tmp_path / "source.db", 3)
    text = FILE.replace("DATABASE", str(tmp_path / "source.db"))
    (tmp_path / "sl.config.yaml").write_text(text)
    project = Project(Settings.from_environ({"SEMILAYER_ENV": ENV}, tmp_path), {})
    push(project)
    return project


def push(project: Project) -> list[PushAction]:
    plan = plan_push(project, load_config(project.settings.config), ENV)
    assert not plan.drift
    apply_push(project, plan)
    return [lens.change for lens in plan.lenses]


def exported(project: Project) -> str:
    write_export(plan_export(project, ENV))
    return project.settings.config.read_text()


def edit(project: Project, old: str, new: str) -> None:
    text = project.settings.config.read_text()
    assert old in text
    project.settings.config.write_text(text.replace(old, new, 1))


def change(project: Project, **changes: Any) -> None:
    change_lens(project, ENV, "items", changes, origin="api")


def difference(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that are only in the one and only in the other."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_push_export_push_changes_no_byte_and_writes_nothing(project: Project) -> None:
    before, when = project.settings.config.read_bytes(), project.settings.config.stat().st_mtime_ns

    exported(project)

    assert project.settings.config.read_bytes() == before
    assert project.settings.config.stat().st_mtime_ns == when
    assert push(project) == [PushAction.UNCHANGED, PushAction.UNCHANGED]


def test_a_change_made_elsewhere_is_the_only_line_that_differs(project: Project) -> None:
    before = project.settings.config.read_text()
    change(project, syncInterval="5m")

    after = exported(project)

    assert difference(before, after) == ([], ["    syncInterval: 5m"])
    # It does not come between a comment and the key that it is about.
    assert "# Numbers, not names.\n    primaryKey: id" in after
    assert "# Most telling first.\n    fields:" in after
    assert push(project) == [PushAction.UNCHANGED, PushAction.UNCHANGED]
    assert exported(project) == after


def test_a_key_that_the_file_has_is_changed_where_it_stands(project: Project) -> None:
    edit(project, "    primaryKey: id\n", "    primaryKey: id\n    guard: 40%  # careful\n")
    push(project)
    before = project.settings.config.read_text()
    change(project, guard=0.5)

    assert difference(before, exported(project)) == (
        ["    guard: 40%  # careful"],
        ["    guard: 0.5  # careful"],
    )


def test_a_key_that_was_taken_away_elsewhere_goes_from_the_file(project: Project) -> None:
    edit(project, "    primaryKey: id\n", "    primaryKey: id\n    smartSyncInterval: 1h\n")
    push(project)
    before = project.settings.config.read_text()
    change(project, smartSyncInterval=None)

    assert difference(before, exported(project)) == (["    smartSyncInterval: 1h"], [])
    assert push(project) == [PushAction.UNCHANGED, PushAction.UNCHANGED]


def test_fields_are_changed_added_removed_and_moved_as_elsewhere(project: Project) -> None:
    # given other weights, a new field, one less, and another order
    before = project.settings.config.read_text()
    change(
        project,
        fields={
            "description": {"type": "text", "searchable": {"weight": 3}},
            "name": {"type": "text", "searchable": {"weight": 2}},
            "price": {"type": "number"},
        },
    )

    after = exported(project)

    # then the registry and the file say the same, and the rest stays as it was
    assert push(project) == [PushAction.UNCHANGED, PushAction.UNCHANGED]
    fields = load_config(project.settings.config).lenses["items"].fields
    assert list(fields) == ["description", "name", "price"]
    for line in before.splitlines():
        if "#" in line or "others" in line:
            assert line.partition("#")[2] in after
    assert before.partition("  # A second look")[2] == after.partition("  # A second look")[2]


def test_what_the_author_edited_and_has_not_pushed_stays(project: Project) -> None:
    edit(project, "primaryKey: id", "primaryKey: id\n    shards: 4")
    edit(project, "weight: 2", "weight: 5")
    before = project.settings.config.read_text()
    change(project, syncInterval="5m")

    after = exported(project)

    assert difference(before, after) == ([], ["    syncInterval: 5m"])
    assert push(project) == [PushAction.UPDATED, PushAction.UNCHANGED]


def test_a_lens_that_the_file_lacks_is_added_with_its_source(project: Project) -> None:
    before = project.settings.config.read_text()
    with project.registry.read() as db:
        wanted = lenses.get(db, ENV, "items").config
    edit(project, before[before.index("sources:") :], "sources: {}\nlenses: {}\n")

    after = exported(project)

    assert after.startswith(before[: before.index("sources:")])
    config = load_config(project.settings.config)
    assert list(config.lenses) == ["items", "others"]
    assert config.lenses["items"] == wanted
    assert push(project) == [PushAction.UNCHANGED, PushAction.UNCHANGED]


def test_a_lens_that_only_the_file_has_stays(project: Project) -> None:
    edit(project, "  others:", "  thirds:")
    before = project.settings.config.read_text()

    planned = plan_export(project, ENV)

    assert planned.only_here == ("thirds",)
    assert [(lens.name, lens.added) for lens in planned.lenses] == [("others", True)]
    assert "  thirds:" in exported(project)
    assert difference(before, exported(project))[0] == []


def test_the_marks_of_a_windows_editor_stay(project: Project) -> None:
    file = project.settings.config
    raw = file.read_text().replace("\n", "\r\n").encode("utf-8-sig")
    file.write_bytes(raw)
    change(project, syncInterval="5m")

    write_export(plan_export(project, ENV))

    after = file.read_bytes()
    assert after.startswith(b"\xef\xbb\xbf")
    assert after.count(b"\n") == after.count(b"\r\n") == raw.count(b"\n") + 1
    assert after.replace(b"    syncInterval: 5m\r\n", b"", 1) == raw
