"""Ways in which the files of a LanceDB index come to harm, each done to the folder of its table."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

Harm = Callable[[Path], None]


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _overwrite(file: Path) -> None:
    file.write_bytes(bytes(reversed(file.read_bytes())))


def _zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _become_a_folder(file: Path) -> None:
    # What reading without permission looks like, also to root: the file cannot be opened.
    file.unlink()
    file.mkdir()


def _to_all(pattern: str, harm: Harm) -> Harm:
    def done(table: Path) -> None:
        files = [path for path in table.glob(pattern) if path.is_file()]
        assert files, pattern
        for file in files:
            harm(file)

    return done


def _to_one(pattern: str, harm: Harm) -> Harm:
    return lambda table: harm(min(table.glob(pattern)))


UNREADABLE: dict[str, Harm] = {
    "a data file is cut short": _to_one("data/*.lance", _cut),
    "a data file is empty": _to_one("data/*.lance", lambda file: os.truncate(file, 0)),
    "a data file is gone": _to_one("data/*.lance", Path.unlink),
    "a data file holds something else": _to_one("data/*.lance", _overwrite),
    "a data file cannot be opened": _to_one("data/*.lance", _become_a_folder),
    "all data files are gone": lambda table: shutil.rmtree(table / "data"),
    "the newest manifest is cut short": _to_one("_versions/*.manifest", _cut),
    "the newest manifest is empty": _to_one(
        "_versions/*.manifest", lambda file: os.truncate(file, 0)
    ),
    # What a file system may leave of a new file when the power fails: its length, and no byte.
    "all manifests are zeros": _to_all("_versions/*.manifest", _zero),
}
"""The table is there, and not all of it can be read."""

LOST: dict[str, Harm] = {
    "all manifests are gone": _to_all("_versions/*", Path.unlink),
    "the folder of the manifests is gone": lambda table: shutil.rmtree(table / "_versions"),
    "the folder of the table is gone": shutil.rmtree,
}
"""Nothing is left that could be opened."""

BROKEN_INDEXES: dict[str, Harm] = {
    "cut short": _to_all("_indices/*/*", _cut),
    "gone": lambda table: shutil.rmtree(table / "_indices"),
    "something else": _to_all("_indices/*/*", _overwrite),
}
"""The rows can be read, and the indexes over them cannot."""
