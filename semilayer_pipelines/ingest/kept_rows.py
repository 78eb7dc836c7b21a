"""What a complete walk saw of each row, kept in a file: what the index should hold.

It is a help and never the truth. A file that is cut, altered or away proves nothing, and the next
smart sync reads every row. Each walk writes a file of its own, so nobody reads one that changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from semilayer_pipelines.bridges.protocol import KEY_HASH
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = [
    "KEPT_SCHEMA",
    "KeptRows",
    "NewKept",
    "forget_kept",
    "new_kept",
    "open_kept",
    "tidy_kept",
]

KEPT_SCHEMA = pl.Schema(
    {KEY: pl.String(), ROW_HASH: pl.Binary(), TEXT_HASH: pl.Binary(), KEY_HASH: pl.Int64()}
)
"""TEXT_HASH is null for a row that has no text; so is ROW_HASH, too, for one that cannot be mapped.
KEY_HASH is null where the source gave none."""

_ROWS_AT_ONCE = 100_000
_DIGEST = "blake2b"
_ENDING, _SCRATCH = ".parquet", ".new"
_parquet: Any = parquet
_LEFT_S = 24 * 3600.0  # longer than any walk; the file of one under way is nobody's yet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptRows:
    """The file of a walk, open and found to be as it was written."""

    file: BufferedReader

    @property
    def rows(self) -> int:
        """How many rows there are."""
        self.file.seek(0)
        return int(_parquet.ParquetFile(self.file).metadata.num_rows)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows (`KEPT_SCHEMA`), each once, in any order; bounded in memory."""
        self.file.seek(0)
        for batch in _parquet.ParquetFile(self.file).iter_batches(_ROWS_AT_ONCE):
            yield pl.DataFrame(pl.from_arrow(batch)).match_to_schema(KEPT_SCHEMA)


@contextmanager
def open_kept(folder: Path, name: str, digest: str) -> Iterator[KeptRows | None]:
    """Open the file of a walk; `None` when there is none, or not as it was written."""
    try:
        file = (folder / f"{name}{_ENDING}").open("rb")
    except OSError as error:
        logger.info("What the last walk saw is not on this machine: %s", error.strerror)
        yield None
        return
    with file:
        whole = _digest(file) == digest
        if not whole:
            logger.warning("What the last walk saw was altered: %s%s", name, _ENDING)
        yield KeptRows(file) if whole else None


class NewKept:
    """The file of a walk under way; one that cannot be written is given up, the sync goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = uuid4().hex
        self._scratch = folder / f"{self._name}{_SCRATCH}"
        self._writer: Any = None
        self._waiting: list[pl.DataFrame] = []
        self._given_up = False
        self._lock = threading.Lock()

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows (`KEPT_SCHEMA`), none of which was added before; from any thread."""
        if rows.is_empty():
            return
        with self._lock:
            if self._given_up:
                return
            self._waiting.append(rows.match_to_schema(KEPT_SCHEMA))
            if sum(each.height for each in self._waiting) >= _ROWS_AT_ONCE:
                with self._unless_it_fails():
                    self._write()

    def finish(self) -> tuple[str, str] | None:
        """Give the file its name; return that and its digest, `None` when it could not be written.

        Nobody looks at it before the walk is noted with them.
        """
        if self._given_up:
            return None
        with self._unless_it_fails():
            self._write(last=True)
            with self._scratch.open("rb") as file:
                digest = _digest(file)
            self._scratch.rename(self._folder / f"{self._name}{_ENDING}")
        return None if self._given_up else (self._name, digest)

    def drop(self) -> None:
        """Remove what is not finished."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
        with contextlib.suppress(OSError):
            self._scratch.unlink(missing_ok=True)

    @contextmanager
    def _unless_it_fails(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._given_up = True
            self._waiting.clear()
            logger.warning(
                "What this sync saw cannot be kept, so the next one reads every row: %s", error
            )

    def _write(self, *, last: bool = False) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            schema = KEPT_SCHEMA.to_frame().to_arrow().schema
            self._writer = _parquet.ParquetWriter(self._scratch, schema, compression="lz4")
        if self._waiting:
            rows: pa.Table = pl.concat(self._waiting).to_arrow()
            self._waiting.clear()
            self._writer.write_table(rows)
        if last:
            self._writer.close()


@contextmanager
def new_kept(folder: Path) -> Iterator[NewKept]:
    """Give a file to fill; one that is not finished leaves nothing."""
    kept = NewKept(folder)
    try:
        yield kept
    finally:
        kept.drop()


def forget_kept(folder: Path, name: str | None) -> None:
    """Remove the file of a walk that nobody needs any more; one that cannot be is left."""
    with contextlib.suppress(OSError):
        (folder / f"{name}{_ENDING}").unlink(missing_ok=True)


def tidy_kept(folder: Path, needed: Collection[str]) -> None:
    """Remove the files that no walk needs, and what killed runs left."""
    for file in [*folder.glob(f"*{_ENDING}"), *folder.glob(f"*{_SCRATCH}")]:
        if file.name.removesuffix(_ENDING) not in needed:
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > _LEFT_S:
                    file.unlink()


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, _DIGEST).hexdigest()
