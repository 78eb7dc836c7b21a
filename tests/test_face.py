"""`import semilayer_pipelines` costs nothing, and what is asked of it is what type checkers see."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import semilayer_pipelines

HEAVY = {"dagster", "httpx", "numpy", "polars", "pydantic", "sqlalchemy", "starlette", "torch"}


def heavy_modules_after(script: str) -> set[str]:
    code = f"{script}\nimport json, sys\nprint(json.dumps(sorted(set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(done.stdout))


def as_type_checkers_see_it() -> dict[str, str]:
    """Return by name the module that it is imported from where types are checked."""
    tree = ast.parse(Path(semilayer_pipelines.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import semilayer_pipelines\n"
        "print({n for n in set(sys.modules) - before if n.startswith('semilayer_pipelines.')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
    assert heavy_modules_after("import semilayer_pipelines") == set()


@pytest.mark.parametrize(
    ("name", "needs"),
    [("IngestClient", {"httpx"}), ("SemilayerError", set()), ("Mode", {"sqlalchemy", "pydantic"})],
)
def test_a_name_loads_what_it_needs_and_no_more(name: str, needs: set[str]) -> None:
    assert heavy_modules_after(f"from semilayer_pipelines import {name}") == needs


@pytest.mark.parametrize("name", semilayer_pipelines.__all__)
def test_every_name_is_the_one_that_type_checkers_see(name: str) -> None:
    module = import_module(as_type_checkers_see_it()[name])

    assert getattr(semilayer_pipelines, name) is getattr(module, name)
    assert name in dir(semilayer_pipelines)
    assert semilayer_pipelines.__getattr__(name) is getattr(module, name)
    assert getattr(module, name).__doc__


def test_type_checkers_see_no_other_name() -> None:
    assert sorted(as_type_checkers_see_it()) == sorted(semilayer_pipelines.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        semilayer_pipelines.serach  # type: ignore[attr-defined]  # noqa: B018
