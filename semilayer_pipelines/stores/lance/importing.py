"""Importing LanceDB without what takes long at it and serves nobody.

Here databases are local folders, and vectors come from our own embedders. LanceDB also brings the
client of its REST catalogue (nine modules of requests, some 200 of their models), the models of
what its Enterprise services run, and the embedders of fifteen providers. Every command and run that
opens an index would import them. A module that was imported in full before stays as it is. The
embedders are left out by our commands alone: a program that uses us may use them, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from semilayer_pipelines.quick_imports import is_command

__all__ = ["without_override_checks", "without_unused_parts"]

_REST_CLIENT = "lance_namespace_urllib3_client"
_PROVIDERS = (
    "bedrock",
    "cohere",
    "colpali",
    "gemini_text",
    "gte",
    "imagebind",
    "instructor",
    "jinaai",
    "ollama",
    "open_clip",
    "openai",
    "sentence_transformers",
    "siglip",
    "transformers",
    "voyageai",
    "watsonx",
)
_BY_COMMANDS = {"lancedb.functions", *(f"lancedb.embeddings.{name}" for name in _PROVIDERS)}


@contextmanager
def without_unused_parts() -> Iterator[None]:
    """Have imports in this block find empty modules in place of the parts that nobody uses."""
    finder = _LeftOut()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def without_override_checks() -> Iterator[None]:
    """Have `@override` check nothing in this block, as LanceDB does on Python 3.12 and later.

    Below it takes the package `overrides`, which compares some hundred signatures at each import.
    """
    before = sys.modules.get("overrides")
    sys.modules["overrides"] = _unchecked()
    try:
        yield
    finally:
        if before is None:
            del sys.modules["overrides"]
        else:
            sys.modules["overrides"] = before


def _unchecked() -> ModuleType:
    module = ModuleType("overrides")
    vars(module).update(override=lambda method: method, EnforceOverrides=object)
    return module


class _Empty(ModuleType):
    """A module of which any class may be imported: nothing is an instance of one."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        empty = type(name, (), {"__module__": self.__name__})
        setattr(self, name, empty)
        return empty


class _LeftOut(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if (
            fullname == _REST_CLIENT
            or fullname.startswith(f"{_REST_CLIENT}.")
            or (is_command() and fullname in _BY_COMMANDS)
        ):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""
