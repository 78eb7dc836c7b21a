"""Nothing that Dagster shows or runs changes unseen: all definitions are compared with a file.

After a change that is meant, renew the file and read its diff:

    python -m tests.orchestration.snapshot
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.orchestration.snapshot import FILE, snapshot_of_a_project


def test_all_definitions_are_as_they_were_last_agreed_on(tmp_path: Path) -> None:
    now = json.loads(snapshot_of_a_project(tmp_path))
    agreed = json.loads(FILE.read_text(encoding="utf-8"))

    # Part by part, so that a failure shows what differs and not the whole of it.
    assert now.keys() == agreed.keys()
    for part, entries in agreed.items():
        assert now[part] == entries, f"{part}: renew with `python -m tests.orchestration.snapshot`"
