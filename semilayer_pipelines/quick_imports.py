"""Importing less, and much at once: for commands, which a person waits for.

What was imported stays until the process ends, so nobody need look for garbage in it. What a
library imports for a use that is not made of it can wait for that use.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = [
    "import_httpx",
    "is_command",
    "later",
    "this_is_a_command",
    "with_one_blas_thread",
    "without_collector",
]

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""Read once, when numpy loads OpenBLAS."""


_command = False


def this_is_a_command() -> None:
    """Say that this process is a command of ours: nobody else will import a library in it."""
    global _command
    _command = True


def is_command() -> bool:
    """Say whether this process is a command of ours, and not a program that uses us."""
    return _command


@contextmanager
def without_collector() -> Iterator[None]:
    """Have no garbage collected in this block, nor ever looked for in what it imported.

    Looking is a tenth of what a command's imports take. At the end of the process it is once more
    as much: Python looks at all that there is before it goes.
    """
    was_on = gc.isenabled()
    imported = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        # Only after an import: what is garbage now, and goes round in a circle, stays too.
        if len(sys.modules) > imported:
            gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def with_one_blas_thread() -> Iterator[None]:
    """Let numpy, where this block imports it, begin no threads for its linear algebra.

    They look for work for some hundredths of a second before they sleep, and a command has none.
    Processes that the command starts are not told.
    """
    before = os.environ.get(_BLAS_THREADS)
    os.environ[_BLAS_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_BLAS_THREADS]
        else:
            os.environ[_BLAS_THREADS] = before


@contextmanager
def later(name: str) -> Iterator[None]:
    """Have `import package.name` in this block put off that module until something of it is asked.

    For a library that reaches it as an attribute of its package, and seldom. All others who import
    the module get it whole. Nothing is put off where it is imported already.
    """
    if name in sys.modules:
        yield
        return
    package, _, own = name.rpartition(".")
    sys.modules[name] = stand_in = _Later(name)
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
            setattr(import_module(package), own, stand_in)


def import_httpx() -> None:
    """Import httpx without its command, with which come rich and pygments: half of its memory.

    httpx itself does without where they are not installed.
    """
    command = "httpx._main"
    if command in sys.modules:
        return
    sys.modules[command] = None  # type: ignore[assignment]  # Python's word for: not to be had
    try:
        import_module("httpx")
    finally:
        sys.modules.pop(command, None)  # another thread may have been as quick


class _Later(ModuleType):
    """Takes the place of a module until something of it is asked for, which imports it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        # Puts the module itself in this one's place.
        return getattr(import_module(self.__name__), name)
