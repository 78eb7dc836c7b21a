"""A push tells the mistakes of all lenses, not of the first one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from semilayer_pipelines.control.mistakes import for_each_lens
from semilayer_pipelines.errors import (
    ConfigError,
    SchemaMismatch,
    SemilayerError,
    SourceRefused,
    SourceUnreachable,
    StoreUnavailable,
    Terminal,
    Transient,
)
from tests.cli.project import Folder
from tests.lab import lens_config


def test_the_mistakes_of_all_lenses_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    bad: dict[str, object] = {"fields": {"titel": {"type": "text", "searchable": True}}}
    folder.write(lenses={"items": {}, "a": {"table": "itmes"}, "b": bad, "c": {"table": "itmes"}})

    done = folder.run("push")

    assert done.exit_code == 2
    assert "3 lenses cannot be pushed:" in done.stderr
    for name in ("a", "c"):
        assert f"lens '{name}': sl.config.yaml:" in done.stderr
        assert f"lenses.{name}.table: source 'main' has no table or view 'itmes'" in done.stderr
    assert "lens 'b': " in done.stderr
    assert "'titel'" in done.stderr
    assert folder.json("status")["lenses"] == []


def test_one_mistake_is_told_as_before(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    folder.write(lenses={"items": {}, "a": {"table": "itmes"}})

    told = folder.run("push").stderr

    assert "lens 'a': sl.config.yaml:" in told
    assert "lenses.a.table: source 'main' has no table or view 'itmes'" in told


def test_a_connection_that_is_none_is_told_with_its_line(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    folder.write(url="shop.db")

    told = folder.run("push").stderr

    assert re.search(r"sl\.config\.yaml:6: sources\.main\.connection: source 'main': the ", told)


def test_a_source_that_does_not_answer_is_asked_once() -> None:
    asked: list[str] = []
    lenses = {name: lens_config(source=name[0]) for name in ("a1", "a2", "b1", "a3")}

    def do(name: str, lens: object) -> str:
        asked.append(name)
        if name.startswith("a"):
            raise SourceUnreachable("source 'a' cannot be reached: no.", cure="Later.")
        return name

    with pytest.raises(SourceUnreachable) as caught:
        for_each_lens(lenses, do)

    assert asked == ["a1", "b1"]
    assert "lenses 'a1', 'a2', 'a3': source 'a' cannot be reached: no. Later." in str(caught.value)


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([SchemaMismatch("x"), SchemaMismatch("y")], SchemaMismatch),
        ([SchemaMismatch("x"), ConfigError("y")], ConfigError),
        ([SourceUnreachable("x"), SchemaMismatch("y")], ConfigError),
        ([SourceUnreachable("x"), SourceRefused("y")], Terminal),
        ([SourceUnreachable("x"), StoreUnavailable("y")], Transient),
    ],
)
def test_what_a_person_must_correct_decides_the_exit_code(
    errors: list[SemilayerError], kind: type[SemilayerError]
) -> None:
    lenses = {f"{n}": lens_config(source=f"{n}") for n in range(len(errors))}

    def do(name: str, lens: object) -> None:
        raise errors[int(name)]

    with pytest.raises(SemilayerError) as caught:
        for_each_lens(lenses, do)

    assert type(caught.value) is kind
