"""A user's own transform: imported from the project, called by the page, blamed by the row."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.mapping.mapped import Mapped
from tests.mapping.making import mapping, page, reasons

NUMBER = itertools.count()
Write = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Write]:
    """Write a module of a fresh name into the project's folder; forget it afterwards."""
    names: list[str] = []

    def write(code: str) -> str:
        name = f"project_transforms_{next(NUMBER)}"
        (tmp_path / f"{name}.py").write_text(f"import polars as pl\n{code}")
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def run(folder: Path, transform: Any, values: list[Any], **field: Any) -> Mapped:
    compiled = mapping({"type": "text", "transform": transform, **field}, project_dir=folder)
    return compiled.apply(page(values))


def test_a_function_of_the_project_gets_the_series_of_the_page(
    tmp_path: Path, module: Write
) -> None:
    name = module("def shout(values):\n    return values.str.to_uppercase() + f' of {len(values)}'")
    before = list(sys.path)

    result = run(tmp_path, f"{name}:shout", ["a", None])

    assert result.frame["v"].to_list() == ["A of 2", None]
    assert sys.path == before


def test_it_stands_between_other_steps_and_may_come_twice(tmp_path: Path, module: Write) -> None:
    name = module("def mark(values):\n    return values + '!'")

    steps = ["trim", f"{name}:mark", "uppercase", f"{name}:mark", {"type": "truncate", "length": 3}]
    result = run(tmp_path, steps, [" a ", None])

    assert result.frame["v"].to_list() == ["A!!", "!!"]


def test_it_gets_the_value_after_null_as_and_merge(tmp_path: Path, module: Write) -> None:
    name = module("def same(values):\n    return values")

    result = run(tmp_path, f"{name}:same", [None, "b"], nullAs="a")

    assert result.frame["v"].to_list() == ["a", "b"]


def test_it_may_give_another_dtype(tmp_path: Path, module: Write) -> None:
    name = module("def size(values):\n    return values.str.len_chars()")
    compiled = mapping({"type": "number", "transform": f"{name}:size"}, project_dir=tmp_path)

    assert compiled.apply(page(["abc", None])).frame["v"].to_list() == [3.0, None]


def test_it_works_on_a_constant_and_on_an_empty_page(tmp_path: Path, module: Write) -> None:
    name = module("def shout(values):\n    return values.str.to_uppercase()")
    field = {"type": "text", "from": "gone", "undefinedAs": "x", "transform": f"{name}:shout"}
    compiled = mapping(field, project_dir=tmp_path)

    assert compiled.apply(page(["a", "b"])).frame["v"].to_list() == ["X", "X"]
    assert compiled.apply(page([], pl.String)).frame["v"].to_list() == []


def test_the_rows_it_fails_on_are_set_aside_with_its_message(tmp_path: Path, module: Write) -> None:
    name = module(
        "def picky(values):\n"
        "    if 'bad' in values.to_list():\n"
        "        raise ValueError('no bad ones')\n"
        "    return values + '!'"
    )

    result = run(tmp_path, f"{name}:picky", ["a", "bad", None, "b"])

    assert result.frame["v"].to_list() == ["a!", None, "b!"]
    assert result.failed.rows() == [
        ("1", "v", f"field v: {name}:picky: ValueError: no bad ones"),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return values.head(1)", None),
        ("return values.head(0)", "returned 0 values for 1"),
        ("return 'text'", "returned str, not a Polars Series"),
        ("return pl.concat([values, values])", "returned 2 values for 1"),
    ],
)
def test_a_wrong_length_or_kind_is_found_row_by_row(
    tmp_path: Path, module: Write, body: str, message: str | None
) -> None:
    name = module(f"def wrong(values):\n    {body}")

    result = run(tmp_path, f"{name}:wrong", ["a", "b"])

    if message is None:
        assert result.frame["v"].to_list() == ["a", "b"]
    else:
        assert result.frame.is_empty()
        assert len(reasons(result)) == 2
        assert all(message in reason for reason in reasons(result))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def shuot(values): ...", "did you mean 'shuot'"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("def", "SyntaxError"),
        ("shout = 3", "has no function 'shout'"),
    ],
)
def test_what_cannot_be_imported_is_a_mistake_of_the_configuration(
    tmp_path: Path, module: Write, code: str, message: str
) -> None:
    name = module(code)

    with pytest.raises(ConfigError) as caught:
        mapping({"type": "text", "transform": f"{name}:shout"}, project_dir=tmp_path)

    assert message in str(caught.value)
    assert "fields.v.transform" in str(caught.value)
    assert str(tmp_path) not in sys.path


def test_a_module_that_does_not_exist_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No module named") as caught:
        mapping({"type": "text", "transform": "no_such_module:f"}, project_dir=tmp_path)

    assert str(tmp_path) in caught.value.cure
