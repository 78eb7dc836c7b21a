"""Importing LanceDB without what takes long at it and serves nobody.

The client of its REST catalogue is nine modules of requests and some 200 of their models. Nothing
here uses any, because databases are local folders. Every command and run that opens an index would
import them. A module that was imported in full before stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["without_override_checks", "without_rest_client"]

_LEFT_OUT = "lance_namespace_urllib3_client"


@contextmanager
def without_rest_client() -> Iterator[None]:
    """Have imports in this block find empty modules in place of the client's."""
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
    """A module of which any class may be imported, and none can do anything."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


class _LeftOut(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _LEFT_OUT and not fullname.startswith(f"{_LEFT_OUT}."):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""
