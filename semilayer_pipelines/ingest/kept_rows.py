"""What a complete walk saw of each row, kept in files: what the index should hold.

One file has what a walk saw as a whole. A second one has what was seen to change since, so that a
sync that finds few changes writes few rows. Once that is a good part of the first, a whole file is
written in the place of both.

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
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from semilayer_pipelines.bridges.protocol import KEY_HASH, KeySums
from semilayer_pipelines.ingest.key_hashes import KeyHashes
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = [
    "KEPT_SCHEMA",
    "LATER_SHARE",
    "Kept",
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

LATER_SHARE = 16
"""One row in so many of the whole file may have changed since, before a whole one is written."""

_GONE = "_gone"
_FILE_SCHEMA = pl.Schema({**KEPT_SCHEMA, _GONE: pl.Boolean()})
"""A row that is _GONE has its key alone: that of a row in the whole file which counts no more."""

_ROWS_AT_ONCE = 100_000
_DIGEST = "sha256"
_ENDING, _SCRATCH = ".parquet", ".new"
_parquet: Any = parquet
_LEFT_S = 24 * 3600.0  # longer than any walk; the file of one under way is nobody's yet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """The names and the digests of one or two files, the whole one first, with a space between."""

    names: str
    digests: str

    @property
    def whole(self) -> Kept:
        """The whole file alone."""
        return Kept(self.names.split()[0], self.digests.split()[0])

    def __add__(self, later: Kept) -> Kept:
        """Put the file of what changed behind the whole one."""
        return Kept(f"{self.names} {later.names}", f"{self.digests} {later.digests}")


@dataclass(frozen=True)
class KeptRows:
    """What a walk saw: a file of all rows, open, and the changes since; as they were written."""

    kept: Kept
    file: BufferedReader
    changes: pl.DataFrame

    @cached_property
    def rows(self) -> int:
        """How many rows the whole file has."""
        self.file.seek(0)
        return int(_parquet.ParquetFile(self.file).metadata.num_rows)

    def frames(self, *columns: str) -> Iterator[pl.DataFrame]:
        """Yield the rows (`KEPT_SCHEMA`, or KEY and these columns of it); bounded in memory.

        They come once each, in any order.
        """
        named = [name for name in KEPT_SCHEMA if not columns or name in (KEY, *columns)]
        for rows in self._whole(*named):
            yield rows.filter(~self._replaced.have(rows[KEY])) if self._replaced else rows
        yield self.changed.select(named)

    def _whole(self, *columns: str) -> Iterator[pl.DataFrame]:
        self.file.seek(0)
        whole = _parquet.ParquetFile(self.file)
        for batch in whole.iter_batches(_ROWS_AT_ONCE, columns=columns):
            yield pl.DataFrame(pl.from_arrow(batch)).select(columns)

    @cached_property
    def key_sums(self) -> KeySums:
        """The rows that have a KEY_HASH, and the sum of these."""
        rows = total = 0
        frames = self.frames(KEY_HASH) if self._replaced else self._whole(KEY_HASH)
        for some in frames:
            hashes = some[KEY_HASH].drop_nulls()
            rows += len(hashes)
            total += int(hashes.cast(pl.Int128).sum())
        return KeySums(rows, total)

    @property
    def changed(self) -> pl.DataFrame:
        """The rows (`KEPT_SCHEMA`) that are new or other than in the whole file."""
        return self.changes.filter(~pl.col(_GONE)).select(KEPT_SCHEMA.names())

    @cached_property
    def _replaced(self) -> KeyHashes:
        found = KeyHashes()
        found.add(self.changes[KEY])
        return found


@contextmanager
def open_kept(folder: Path, kept: Kept) -> Iterator[KeptRows | None]:
    """Open the files of a walk; `None` when one is not there, or not as it was written."""
    with contextlib.ExitStack() as opened:
        files = []
        for name, digest in zip(kept.names.split(), kept.digests.split(), strict=True):
            file = _opened(folder, name, digest)
            if file is None:
                yield None
                return
            files.append(opened.enter_context(file))
        changes = [pl.DataFrame(pl.from_arrow(_parquet.read_table(file))) for file in files[1:]]
        yield KeptRows(kept, files[0], pl.concat([_FILE_SCHEMA.to_frame(), *changes]))


def _opened(folder: Path, name: str, digest: str) -> BufferedReader | None:
    try:
        file = (folder / f"{name}{_ENDING}").open("rb")
    except OSError as error:
        logger.info("What the last walk saw is not on this machine: %s", error.strerror)
        return None
    if _digest(file) == digest:
        file.seek(0)
        return file
    file.close()
    logger.warning("What the last walk saw was altered: %s%s", name, _ENDING)
    return None


class NewKept:
    """The file of a walk under way; one that cannot be written is given up, the sync goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = uuid4().hex
        self._scratch = folder / f"{self._name}{_SCRATCH}"
        self._writer: Any = None
        self._waiting: list[pl.DataFrame] = []
        self._whole: Kept | None = None
        self._given_up = False
        self._lock = threading.Lock()

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows (`KEPT_SCHEMA`), none of which was added before; from any thread."""
        self._add(rows.match_to_schema(KEPT_SCHEMA).with_columns(pl.lit(False).alias(_GONE)))

    def build_on(self, last: KeptRows, out: KeyHashes) -> None:
        """Write just what changed since `last`, where that is little.

        `out` are the keys whose rows are gone, or are added as they are now. All others stay as
        they are in `last`: each is given to `carry`.
        """
        if (last.changes.height + len(out)) * LATER_SHARE > last.rows:
            return
        self._whole = last.kept.whole
        self._add(last.changes.filter(_GONE))
        changed = last.changed
        self.add(changed.filter(~out.have(changed[KEY])))

    def carry(self, rows: pl.DataFrame, out: pl.Series) -> None:
        """Take over rows (`KEPT_SCHEMA`) of the last walk; `out` are the keys of its others."""
        if self._whole is None:
            self.add(rows)
        else:
            gone = out.to_frame(KEY).with_columns(pl.lit(True).alias(_GONE))
            self._add(gone.match_to_schema(_FILE_SCHEMA, missing_columns="insert"))

    def _add(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        with self._lock:
            if self._given_up:
                return
            self._waiting.append(rows)
            if sum(each.height for each in self._waiting) >= _ROWS_AT_ONCE:
                with self._unless_it_fails():
                    self._write()

    def finish(self) -> Kept | None:
        """Give the file its name; return what now has all rows, `None` without it.

        Nobody looks at it before the walk is noted with that.
        """
        if self._given_up:
            return None
        with self._unless_it_fails():
            self._write(last=True)
            with self._scratch.open("rb") as file:
                digest = _digest(file)
            self._scratch.rename(self._folder / f"{self._name}{_ENDING}")
        if self._given_up:
            return None
        written = Kept(self._name, digest)
        return written if self._whole is None else self._whole + written

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
            schema = _FILE_SCHEMA.to_frame().to_arrow().schema
            # Keys and hashes differ from row to row, so a dictionary of them gains nothing.
            self._writer = _parquet.ParquetWriter(
                self._scratch,
                schema,
                compression="lz4",
                use_dictionary=False,
                write_statistics=False,
            )
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


def forget_kept(folder: Path, names: Collection[str]) -> None:
    """Remove files that no walk needs any more; one that cannot be removed is left."""
    for name in names:
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
