"""A ledger: what a collection holds, noted in files beside the project by whoever writes.

Reading all objects back costs a server as much as reading all their vectors. So every write is
noted here too, and the server proves the note with sums (see `checks`). A ledger is a help and
never the truth. Whatever is wrong with it, the collection is read instead and the ledger is
written anew.

A ledger is a folder of Parquet files: a **base** with all objects up to a number, and a **part**
for each write after it. Whoever writes holds the write lock of the index, so parts follow each
other. A base is complete when its folder has its name.

Each name ends with the **stamp** of the write that it covers, which the registry keeps as well (see
`stamps`). While the two agree, nobody wrote on another machine.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, SHARD, TEXT_HASH
from semilayer_pipelines.stores.weaviate.placing import SLOT
from semilayer_pipelines.stores.weaviate.schema import CHECKS, VECTOR_AT

__all__ = ["COMPACT_PARTS", "TENANT", "Held", "Ledger", "NewBase"]

TENANT = "_tenant"  # String; empty in a collection without tenants
COMPACT_PARTS = 64
"""Parts of a ledger that are put into a new base."""

_GONE = "_gone"  # Boolean: the object was deleted
_PLACE = [TENANT, KEY, SLOT]
_SCHEMA = pl.Schema(
    {
        TENANT: pl.String(),
        KEY: pl.String(),
        SLOT: pl.UInt8(),
        SHARD: pl.Int32(),
        ROW_HASH: pl.Binary(),
        TEXT_HASH: pl.Binary(),
        VECTOR_AT: pl.Int64(),
        **dict.fromkeys(CHECKS, pl.Int64()),
    }
)
_PART_SCHEMA = pl.Schema({**_SCHEMA, _GONE: pl.Boolean()})
_BASE = re.compile(r"\d{12}-\d{6}-[0-9a-f]{32}\.base")
_PART = re.compile(r"\d{12}-[0-9a-f]{32}\.part")
_UNREADABLE = (OSError, pl.exceptions.PolarsError, ValueError)
_BASE_SHARE = 4  # a base is written anew when what came since is a fourth of it
_FILE_ROWS = 50_000  # a thousand tenants are not a thousand files
_LEFT_S = 24 * 3600.0  # longer than any scan
_KEPT_BASES = 2  # a reader may be on the one before

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """What a ledger says at one moment: its base, and what was written since.

    `latest` has one row a place, the last; `number` and `stamp` are those of the last part.
    """

    base: tuple[Path, ...]
    latest: pl.DataFrame
    number: int
    stamp: str

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield TENANT, KEY, SLOT, SHARD, hashes, VECTOR_AT and `CHECKS`, a file at a time."""
        for file in self.base:
            with _readable(file):
                rows = pl.read_parquet(file).match_to_schema(_SCHEMA)
            yield self._still(rows)
        yield self.latest.filter(~pl.col(_GONE)).drop(_GONE)

    def base_rows(self) -> int:
        """Count the objects of the base."""
        return sum(pl.scan_parquet(file).select(pl.len()).collect().item() for file in self.base)

    def of_keys(self, keys: list[str]) -> pl.DataFrame:
        """Return TENANT, KEY and SLOT of the objects of some keys."""
        wanted = pl.Series(KEY, keys, dtype=pl.String).to_frame()
        now = self.latest.join(wanted, on=KEY, how="semi")
        old = []
        for file in self.base:
            with _readable(file):
                places = pl.scan_parquet(file).select(_PLACE)
                some = places.join(wanted.lazy(), on=KEY, how="semi").collect()
            old.append(some.join(now, on=_PLACE, how="anti"))
        return pl.concat([*old, now.filter(~pl.col(_GONE)).select(_PLACE)])

    def _still(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self.latest.is_empty():
            return rows
        return rows.join(self.latest, on=_PLACE, how="anti")


class Ledger:
    """The ledger of one collection, in a folder of its own that need not be there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, stamp: str) -> None:
        """Note that the collection is new and empty."""
        self.forget()
        with self.new_base(0) as base:
            base.publish(stamp)

    def read(self) -> Held | None:
        """Return what the ledger says; `None` when there is none that can be read."""
        for again in (True, False):
            try:
                return self._read()
            except _UNREADABLE as error:
                if again:
                    continue  # files that were put together meanwhile
                logger.info(
                    "The ledger %s cannot be used: %s", self._folder.name, _first_line(error)
                )
        return None

    def note(self, written: pl.DataFrame | None, gone: pl.DataFrame, *, stamp: str) -> None:
        """Note objects that were written (columns as `Held.frames`), and places that were emptied.

        Must be called under the write lock of the index. A place that is in both was emptied first.
        What cannot be noted is not: the sums will not agree, and the next sync reads the index.
        """
        try:
            number = self._last_number()
            if number is None:
                return  # without a base, nobody could read it
            rows = _part(gone, gone=True)
            if written is not None:
                rows = pl.concat([rows, _part(written, gone=False)])
            _write(rows, self._folder / f"{number + 1:012d}-{stamp}.part")
            self.compact()
        except _UNREADABLE as error:
            logger.warning(
                "The ledger %s could not be written, so the next sync reads the whole index: %s",
                self._folder.name,
                _first_line(error),
            )
            self.forget()

    def compact(self) -> None:
        """Put many parts together; under the write lock of the index.

        They become one part, or a new base when they have grown to a good part of the old one.
        """
        bases = self._bases()
        if not bases or len(self._parts_after(bases[-1])) < COMPACT_PARTS:
            return
        held = self.read()
        if held is None:
            self.forget()
        elif held.latest.height * _BASE_SHARE < held.base_rows():
            parts = self._parts_after(bases[-1])
            _write(held.latest, parts[-1])
            for part in parts[:-1]:
                part.unlink()
        else:
            with self.new_base(held.number) as base:
                for rows in held.frames():
                    base.add(rows)
                base.publish(held.stamp)

    def stamp(self) -> str | None:
        """Return the stamp of the last write that it has seen; `None` without a ledger."""
        bases = self._bases()
        return _stamp_of([bases[-1], *self._parts_after(bases[-1])][-1]) if bases else None

    def number(self) -> int:
        """Return the number of the last part, 0 when there is none."""
        return self._last_number() or 0

    @contextmanager
    def new_base(self, number: int) -> Iterator[NewBase]:
        """Give a base to fill, up to a part; one that is not published leaves nothing."""
        scratch = self._folder / f"{number:012d}-{uuid.uuid4().hex}.new"
        try:
            yield NewBase(scratch, number)
            self._tidy()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def forget(self) -> None:
        """Remove the ledger."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> Held | None:
        bases = self._bases()
        if not bases:
            return None
        base, parts = bases[-1], self._parts_after(bases[-1])
        rows = [pl.read_parquet(part).match_to_schema(_PART_SCHEMA) for part in parts]
        latest = pl.concat([_PART_SCHEMA.to_frame(), *rows])
        latest = latest.unique(_PLACE, keep="last", maintain_order=True)
        files = tuple(sorted(base.iterdir()))
        for file in files:
            if pl.read_parquet_schema(file) != _SCHEMA:
                raise ValueError(f"{file.name} is not of this version")
        last = parts[-1] if parts else base
        return Held(files, latest, _number_of(last), _stamp_of(last))

    def _last_number(self) -> int | None:
        bases = self._bases()
        return max(map(_number_of, [*bases, *self._parts()])) if bases else None

    def _bases(self) -> list[Path]:
        return self._named(_BASE)

    def _parts(self) -> list[Path]:
        return self._named(_PART)

    def _parts_after(self, base: Path) -> list[Path]:
        return [part for part in self._parts() if _number_of(part) > _number_of(base)]

    def _named(self, pattern: re.Pattern[str]) -> list[Path]:
        try:
            return sorted(each for each in self._folder.iterdir() if pattern.fullmatch(each.name))
        except OSError:
            return []  # there is none, or none that we may look into

    def _tidy(self) -> None:
        """Remove what the newest bases make superfluous, and what killed writers left."""
        for left in self._folder.glob("*.new*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > _LEFT_S:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        kept = self._bases()[-_KEPT_BASES:]
        if not kept:
            return
        oldest = _number_of(kept[0])
        for base in self._bases():
            if base not in kept:
                shutil.rmtree(base, ignore_errors=True)
        for part in self._parts():
            if _number_of(part) <= oldest:
                with contextlib.suppress(OSError):
                    part.unlink()


class NewBase:
    """A base that is being written; nobody reads it before it is published.

    One that cannot be written is given up, as whoever reads the objects needs them all the same.
    """

    def __init__(self, scratch: Path, number: int) -> None:
        self._scratch = scratch
        self._number = number
        self._files = 0
        self._waiting: list[pl.DataFrame] = []
        self._given_up = False

    def add(self, rows: pl.DataFrame) -> None:
        """Add objects, columns as `Held.frames`."""
        if rows.is_empty() or self._given_up:
            return
        self._waiting.append(rows.select(_SCHEMA.names()))
        if sum(each.height for each in self._waiting) >= _FILE_ROWS:
            with self._if_possible():
                self._write()

    def _write(self) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
        if self._waiting:
            self._files += 1
            rows = pl.concat([each.cast(_SCHEMA) for each in self._waiting])
            self._waiting.clear()
            rows.write_parquet(self._scratch / f"{self._files:06d}.parquet")

    def publish(self, stamp: str) -> None:
        """Let readers take it for the whole of the collection, as of the write of this stamp."""
        if self._given_up:
            return
        with self._if_possible():
            self._write()
            same = self._scratch.parent.glob(f"{self._number:012d}-*.base")
            turn = 1 + max((_turn_of(base) for base in same), default=-1)
            while True:  # another reader of the same state may be as fast
                base = self._scratch.with_name(f"{self._number:012d}-{turn:06d}-{stamp}.base")
                if not base.exists():
                    break
                turn += 1
            self._scratch.rename(base)

    @contextmanager
    def _if_possible(self) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            self._given_up = True
            logger.warning(
                "The ledger %s could not be written, so the next sync reads the whole index: %s",
                self._scratch.parent.name,
                _first_line(error),
            )


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise StoreUnavailable(
            f"The ledger {file.parent.parent.name} cannot be read any more: {_first_line(error)}",
            cure="It is renewed all the time, and a help only: try again.",
        ) from None


def _write(rows: pl.DataFrame, part: Path) -> None:
    scratch = part.with_suffix(".new-part")
    rows.write_parquet(scratch)
    scratch.rename(part)


def _part(rows: pl.DataFrame, *, gone: bool) -> pl.DataFrame:
    named = rows.with_columns(pl.lit(gone).alias(_GONE))
    lacking = [
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in _PART_SCHEMA.items()
        if name not in named.columns
    ]
    return named.with_columns(lacking).select(_PART_SCHEMA.names()).cast(_PART_SCHEMA)


def _number_of(file: Path) -> int:
    return int(file.name[:12])


def _turn_of(base: Path) -> int:
    return int(base.name[13:19])


def _stamp_of(file: Path) -> str:
    return file.stem.rpartition("-")[2]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
