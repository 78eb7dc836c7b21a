"""A process that changes a row of a lens and tells of it, so many times a second, until it is told
to stop.

`python -m tests.ingest.caller FOLDER ROWS CALLS_A_SECOND`; it stops when its input is closed, and
prints how often it called. A process of its own: SQLite is in the bridge's driver and in Python's,
and both of them writing to and closing one file can crash.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from tests.lab import Lab


@contextmanager
def calling(folder: Path, *, rows: int, calls_a_second: int) -> Iterator[None]:
    """Have a process call for as long as the block lasts; fail if it hardly did."""
    told = [str(folder), str(rows), str(calls_a_second)]
    caller = subprocess.Popen(
        [sys.executable, "-m", "tests.ingest.caller", *told],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert caller.stdout is not None
    try:
        assert caller.stdout.readline() == "calling\n"
        yield
    finally:
        calls, _ = caller.communicate()
    assert int(calls) > 10


def main(folder: Path, rows: int, calls_a_second: int) -> None:
    lab, calls = Lab.opened(folder, {}), 0
    stop = threading.Event()

    def until_the_input_ends() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=until_the_input_ends).start()
    lens_id, started = lab.lens.id, time.monotonic()
    print("calling", flush=True)
    while not stop.is_set():
        calls += 1
        key = calls * 7 % rows + 1
        with lab.source() as source:
            source.execute("UPDATE items SET name = ? WHERE id = ?", (f"call {calls}", key))
        with lab.project.registry.begin() as db:
            changes.append(db, lens_id, [(str(key), Action.UPSERT)], lab.project.clock())
        stop.wait(max(0.0, started + calls / calls_a_second - time.monotonic()))
    print(calls, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
