"""Importing LanceDB without the client of its REST catalogue, which takes longer than the rest.

The client is nine modules of requests and some 200 of their models. Nothing here uses any, because
databases are local folders. Every command and run that opens an index would import them. A module
that was imported in full before stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["without_rest_client"]

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
