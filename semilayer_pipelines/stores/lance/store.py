"""LanceDB: the store that needs no setting up. One folder an environment, one table an index.

Readers in other processes are fine at any time; writers take turns through a lock beside the table.
Nothing here connects to anything: the database is a local folder. LanceDB is imported with the
first index that is opened.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.errors import IndexDamaged, NotFound, StoreFull, StoreUnavailable, nearest
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.lance.errors import store_errors
from semilayer_pipelines.stores.lock import WriterLock
from semilayer_pipelines.stores.protocol import WORDS, IndexSchema

if TYPE_CHECKING:
    from semilayer_pipelines.stores.lance.index import LanceIndex

__all__ = ["LanceStore"]

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_DROPPED = ".dropped-"


class LanceStore:
    """Implements `Store` in `<directory>/<env>`, which is made with the first index."""

    def __init__(self, directory: Path, env: str) -> None:
        self._folder = Path(directory).absolute() / _checked(env)

    def check(self, lenses: Mapping[str, bool]) -> None:
        """Raise `StoreFull` when the folder cannot be written; `lenses` have no say in that."""
        nearest_made = next(each for each in (self._folder, *self._folder.parents) if each.exists())
        if not nearest_made.is_dir() or not os.access(nearest_made, os.W_OK | os.X_OK):
            raise StoreFull(
                f"The store's directory {nearest_made} cannot be written.",
                cure="Make it writable for this user, or set another SEMILAYER_HOME.",
            )

    def create(self, name: str, schema: IndexSchema) -> LanceIndex:
        """Create an index, or open it when it exists already.

        Raises `DimensionChanged` when it exists with another dimension, `StoreFull` when the
        folder cannot be written.
        """
        from semilayer_pipelines.stores.lance.schema import arrow_schema
        from semilayer_pipelines.stores.lance.words import words_index

        doing = f"index {_checked(name)}: creating"
        with store_errors(doing):
            self._folder.mkdir(parents=True, exist_ok=True)
        with store_errors(doing), self._lock(name).hold():
            if not self.exists(name):
                # What a killed create left has no version: nothing was ever in it.
                shutil.rmtree(self._table_folder(name), ignore_errors=True)
                table = self._connection.create_table(name, schema=arrow_schema(schema))
                if schema.words:
                    # Before the first row: without it Lance would cut words its own way.
                    table.create_index(WORDS, config=words_index())
        index = self.open(name)
        require_dimension(
            schema.dimension,
            index.dimension,
            giver="The lens needs vectors of",
            holder=f"index {name} holds",
        )
        return index

    def find(self, name: str) -> LanceIndex | None:
        """Open an index; return `None` when there is none, or it was dropped a moment ago."""
        if not self.exists(name):
            return None
        from semilayer_pipelines.stores.lance.index import LanceIndex

        try:
            with store_errors(f"index {name}: opening", reading=True):
                return LanceIndex(
                    name,
                    self._table_folder(name),
                    self._lock(name),
                    lambda: self._connection.open_table(name),
                )
        except (IndexDamaged, StoreUnavailable):
            # Lance has no error of its own for a table that is gone.
            if self.exists(name):
                raise
            return None

    def open(self, name: str) -> LanceIndex:
        """Open an existing index; raise `NotFound` when there is none."""
        index = self.find(name)
        if index is None:
            raise NotFound(
                f"there is no index {name!r} in {self._folder}{nearest(name, self.names())}.",
                cure="A full ingest of its lens makes one.",
            )
        return index

    def exists(self, name: str) -> bool:
        """Say whether the index exists, that is, has a first version."""
        versions = self._table_folder(_checked(name)) / "_versions"
        try:
            return any(versions.glob("*.manifest"))
        except FileNotFoundError:  # dropped while the folder was read
            return False

    def drop(self, name: str) -> None:
        """Remove an index and its lock, whatever state it is in; no error when it is gone already.

        Waits for the writer that holds the lock. Readers get `NotFound` from then on.
        """
        _checked(name)
        if not self._folder.is_dir():
            return
        lock = self._lock(name)
        with store_errors(f"index {name}: dropping"), lock.hold():
            if self._table_folder(name).exists():
                # One rename: a drop that is killed half-way leaves no half a table.
                self._table_folder(name).rename(
                    self._folder / f"{name}{_DROPPED}{uuid.uuid4().hex}"
                )
            for leftover in self._folder.glob(f"{name}{_DROPPED}*"):
                shutil.rmtree(leftover)
            lock.remove()

    def names(self) -> list[str]:
        """List the indexes of this environment."""
        folders = sorted(self._folder.glob("*.lance"))
        return [folder.stem for folder in folders if self.exists(folder.stem)]

    def point(self, lens: str, name: str) -> None:
        """Do nothing: tables have no second names."""

    @cached_property
    def _connection(self) -> Any:
        from semilayer_pipelines.stores.lance.runtime import connect

        return connect(self._folder, read_consistency_interval=timedelta(0))

    def _table_folder(self, name: str) -> Path:
        return self._folder / f"{name}.lance"

    def _lock(self, name: str) -> WriterLock:
        return WriterLock(self._folder / f"{name}.lock")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name an index or environment: use A-Z a-z 0-9 _ -")
    return name
