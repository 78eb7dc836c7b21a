"""A SQLite database with packages of Debian's catalogue, and the demo's changes to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import polars as pl

SAMPLE = Path(__file__).with_name("packages.parquet")

ROWS = 2_000
"""All packages of the sample."""

LEAST_ROWS = 500
"""So many are always taken: among fewer, finding the right one shows little."""

QUESTIONS = {
    "edit photos and retouch pictures": {"gimp", "darktable", "digikam", "krita"},
    "back up my files to another machine, encrypted": {"borgbackup", "restic", "rsync"},
    "a map of the stars and planets in the night sky": {"stellarium"},
}
"""What the demo asks, and the packages of which one has to be found."""

CHANGED_TEXT = {
    "gnuplot": "Draws the orbits of comets and asteroids for amateur astronomers.",
}
CHANGED_SECTION = ("htop", "restic")
DELETED = ("stellarium", "gimp")
ADDED = ("semilayer-demo-beekeeper", "Hive diary for beekeepers: swarms, queens, honey harvests.")


def rows_in(seconds: float, rows_per_second: float) -> int:
    """Return how many rows are embedded in that time, within what the demo can use."""
    return max(LEAST_ROWS, min(ROWS, int(seconds * rows_per_second) // 100 * 100))


def some_texts(count: int) -> list[str]:
    """Return texts of rows from all over the sample, as long as those that the lens embeds."""
    rows = pl.read_parquet(SAMPLE)
    some = rows.gather_every(rows.height // count).head(count)
    text = pl.concat_str("summary", pl.col("description").str.head(2_000), separator="\n")
    return some.select(text).to_series().to_list()


def create(database: Path, rows: int = ROWS) -> int:
    """Write the sample's first rows, and all that the demo names, to a fresh database.

    Returns how many rows it has: `rows`, or those of the sample.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    database.unlink(missing_ok=True)
    found = _first(rows)
    with sqlite3.connect(database) as db:
        db.execute(
            "CREATE TABLE packages (name TEXT PRIMARY KEY, version TEXT, section TEXT,"
            " priority TEXT, summary TEXT, description TEXT, installed_kb INTEGER,"
            " size_bytes INTEGER, tags TEXT, updated_at TEXT NOT NULL)"
        )
        marks = ", ".join("?" * len(found.columns))
        db.executemany(
            f"INSERT INTO packages VALUES ({marks}, '2026-01-01 00:00:00')", found.iter_rows()
        )
    db.close()
    return found.height


def _first(rows: int) -> pl.DataFrame:
    named = {*CHANGED_TEXT, *CHANGED_SECTION, *DELETED, *set[str]().union(*QUESTIONS.values())}
    sample = pl.read_parquet(SAMPLE)
    last = ~pl.col("name").is_in(named)
    return sample.sort(last, maintain_order=True).head(rows)


def change(database: Path) -> None:
    """Change a description, two sections, delete two rows and add one."""
    now = "2026-01-02 00:00:00"
    with sqlite3.connect(database) as db:
        for name, text in CHANGED_TEXT.items():
            db.execute(
                "UPDATE packages SET summary = ?, description = ?, updated_at = ? WHERE name = ?",
                (text, text, now, name),
            )
        for name in CHANGED_SECTION:
            db.execute(
                "UPDATE packages SET section = 'demo', updated_at = ? WHERE name = ?", (now, name)
            )
        db.executemany("DELETE FROM packages WHERE name = ?", [(name,) for name in DELETED])
        name, text = ADDED
        db.execute(
            "INSERT INTO packages (name, section, summary, description, installed_kb, updated_at)"
            " VALUES (?, 'demo', ?, ?, 1, ?)",
            (name, text, text, now),
        )
    db.close()


def describe(database: Path, name: str, text: str) -> None:
    """Give a package another summary and description."""
    with sqlite3.connect(database) as db:
        db.execute(
            "UPDATE packages SET summary = ?, description = ?, updated_at = '2026-01-03 00:00:00'"
            " WHERE name = ?",
            (text, text, name),
        )
    db.close()
