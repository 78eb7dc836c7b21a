"""A SQLite database with 2,000 packages of Debian's catalogue, and the demo's changes to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import polars as pl

SAMPLE = Path(__file__).with_name("packages.parquet")

CHANGED_TEXT = {
    "gnuplot": "Draws the orbits of comets and asteroids for amateur astronomers.",
}
CHANGED_SECTION = ("htop", "restic")
DELETED = ("stellarium", "gimp")
ADDED = ("semilayer-demo-beekeeper", "Hive diary for beekeepers: swarms, queens, honey harvests.")


def create(database: Path) -> int:
    """Write the sample to a fresh database; return how many rows it has."""
    database.parent.mkdir(parents=True, exist_ok=True)
    database.unlink(missing_ok=True)
    rows = pl.read_parquet(SAMPLE)
    with sqlite3.connect(database) as db:
        db.execute(
            "CREATE TABLE packages (name TEXT PRIMARY KEY, version TEXT, section TEXT,"
            " priority TEXT, summary TEXT, description TEXT, installed_kb INTEGER,"
            " size_bytes INTEGER, tags TEXT, updated_at TEXT NOT NULL)"
        )
        marks = ", ".join("?" * len(rows.columns))
        db.executemany(
            f"INSERT INTO packages VALUES ({marks}, '2026-01-01 00:00:00')", rows.iter_rows()
        )
    db.close()
    return rows.height


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
