"""What the store tests do in other processes: `python -m tests.stores.tasks TASK KIND DIR ENV ...`.

Every task prints one JSON value.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from semilayer_pipelines.stores.protocol import KEY, Store
from tests.stores.objects import names, objects
from tests.stores.tenanted import opened


def read(store: Store, name: str) -> list[str]:
    """Open an index and list its keys."""
    return [key for frame in store.open(name).scan() for key in frame[KEY].to_list()]


def write(store: Store, name: str, rounds: str, keys: str) -> int:
    """Upsert the same keys again and again; a first line says that it has begun."""
    index = store.open(name)
    print("begun", flush=True)
    for number in range(int(rounds)):
        start = number * int(keys)
        with index.lock():
            index.upsert(objects(names(int(keys), start), title=f"round {number}"))
    return int(rounds)


def write_and_delete(store: Store, name: str) -> None:
    """Write, delete and add for ever; to be killed."""
    index = store.open(name)
    print("begun", flush=True)
    number = 0
    while True:
        with index.lock():
            index.upsert(objects(names(300, 100 * (number % 7)), title=f"round {number}"))
            index.delete(names(50, 100 * (number % 5)))
        number += 1


def hold(store: Store, name: str) -> None:
    """Hold the write lock until killed."""
    with store.open(name).lock():
        print("begun", flush=True)
        time.sleep(600)


def watch(store: Store, name: str, live: str) -> dict[str, int]:
    """Read the keys that are never deleted, until a key called `stop` appears."""
    index, expected = store.open(name), set(names(int(live)))
    print("begun", flush=True)
    reads = absent = twice = 0
    while index.get("stop") is None:
        seen = [key for frame in index.scan() for key in frame[KEY].to_list()]
        reads += 1
        absent += len(expected - set(seen))
        twice += len(seen) - len(set(seen))
        absent += len(expected) - index.fetch(sorted(expected), vectors=False)[KEY].n_unique()
    return {"reads": reads, "absent": absent, "twice": twice}


TASKS = {task.__name__: task for task in (read, write, write_and_delete, hold, watch)}

if __name__ == "__main__":
    task, kind, directory, env, *rest = sys.argv[1:]
    store = opened(kind, Path(directory), env, os.environ)
    print(json.dumps(TASKS[task](store, *rest)))
