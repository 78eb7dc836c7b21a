"""The rows that faults and benchmarks work on: made up, deterministic, shaped like a catalogue."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

_WORDS = [
    "amber",
    "anchor",
    "apple",
    "archive",
    "autumn",
    "basket",
    "beacon",
    "bicycle",
    "border",
    "bottle",
    "branch",
    "bridge",
    "bronze",
    "canvas",
    "carbon",
    "castle",
    "cedar",
    "chapel",
    "cobalt",
    "copper",
    "corner",
    "cotton",
    "crystal",
    "desert",
    "dragon",
    "ember",
    "engine",
    "falcon",
    "feather",
    "field",
    "forest",
    "garden",
    "glacier",
    "granite",
    "harbor",
    "hazel",
    "hollow",
    "island",
    "ivory",
    "jasper",
    "juniper",
    "kettle",
    "ladder",
    "lantern",
    "lemon",
    "linen",
    "marble",
    "meadow",
    "mirror",
    "mountain",
    "nectar",
    "oasis",
    "olive",
    "orchard",
    "paper",
    "pepper",
    "pillar",
    "planet",
    "pocket",
    "quarry",
    "quartz",
    "ribbon",
    "river",
    "saddle",
    "sailor",
    "silver",
    "spiral",
    "station",
    "summit",
    "temple",
    "thunder",
    "timber",
    "tunnel",
    "valley",
    "velvet",
    "violet",
    "walnut",
    "window",
]

CATEGORIES = ("tools", "books", "garden", "kitchen", "outdoor")

FIELDS: dict[str, object] = {
    "name": {"type": "text", "searchable": True},
    "description": {"type": "text", "searchable": True},
    "price": {"type": "number"},
    "category": {"type": "enum", "values": list(CATEGORIES)},
    "updated_at": {"type": "date"},
}


def create_items(database: Path, rows: int, *, seed: int = 1) -> None:
    """Write a table `items` of so many rows to a fresh SQLite database."""
    database.parent.mkdir(parents=True, exist_ok=True)
    database.unlink(missing_ok=True)
    dice = random.Random(seed)
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, description TEXT, price REAL,"
            " category TEXT, updated_at TEXT)"
        )
        db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)",
            (row(dice, n) for n in range(1, rows + 1)),
        )
    db.close()


def row(dice: random.Random, number: int) -> tuple[int, str, str, float, str, str]:
    """Return one row: a name of 3 to 5 words, a description of about 40."""
    return (
        number,
        sentence(dice, dice.randint(3, 5)),
        sentence(dice, dice.randint(36, 44)),
        round(dice.uniform(1, 900), 2),
        dice.choice(CATEGORIES),
        f"2024-01-{number % 28 + 1:02d} 10:00:00",
    )


def sentence(dice: random.Random, words: int) -> str:
    """Return so many words."""
    return " ".join(dice.choices(_WORDS, k=words))
