"""The table of 20,000 made-up rows that most benchmarks work on, written once a run."""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.lab import Lab
from tests.workload import create_items

__all__ = ["ROWS", "change", "copied", "database", "lab_in", "workplace"]

ROWS = 20_000


@contextmanager
def workplace() -> Iterator[Path]:
    """Lend a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="semilayer-bench-") as folder:
        yield Path(folder)


@functools.cache
def database(rows: int = ROWS) -> bytes:
    """Return a SQLite file with a table `items` of so many rows."""
    with workplace() as folder:
        create_items(folder / "items.db", rows)
        return (folder / "items.db").read_bytes()


def copied(folder: Path) -> Path:
    """Write the table to `folder` and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "source.db"
    file.write_bytes(database())
    return file


def lab_in(folder: Path) -> Lab:
    """Return a fresh project in `folder`, over the table."""
    shutil.rmtree(folder, ignore_errors=True)
    copied(folder)
    return Lab.at(folder)


def change(file: Path, *statements: str) -> int:
    """Write to the table as another program would; return how many rows it concerned."""
    with closing(sqlite3.connect(file)) as db, db:
        return sum(db.execute(statement).rowcount for statement in statements)
