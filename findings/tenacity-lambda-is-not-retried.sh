#!/usr/bin/env bash
# Package: tenacity 9.2.1.
#
# Behaviour: `await AsyncRetrying(...)(call)` retries a coroutine function and a `functools.partial`
# of one. A lambda that returns the coroutine is called once, and its coroutine comes back
# un-awaited. It counts as a result. The caller's own `await` then meets the first error, which is
# never retried. A `partial` of an object with `async def __call__` is treated as the lambda is,
# although the object itself is retried.
#
# A good guess: each of the four is retried. The annotation of `AsyncRetrying.__call__` asks for
# `Callable[..., Awaitable[Any]]`, and each of the four is one.
#
# For a vector index in sync with SQL tables: a write to the store looks retried and is not. The
# first short outage fails the run.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'tenacity==9.2.1'

venv/bin/python - <<'PY'
import asyncio
import inspect
from functools import partial

from tenacity import AsyncRetrying, stop_after_attempt


class Store:
    def __init__(self):
        self.calls = 0

    async def __call__(self, key):
        self.calls += 1
        if self.calls < 3:
            raise ConnectionError("busy")
        return f"stored {key}"

    async def write(self, key):
        return await self(key)


async def attempt(make):
    store = Store()
    outcome = await AsyncRetrying(stop=stop_after_attempt(5))(*make(store))
    came_back = type(outcome).__name__
    if inspect.isawaitable(outcome):
        try:
            outcome = await outcome
        except ConnectionError as error:
            outcome = f"ConnectionError: {error}"
    return came_back, outcome, store.calls


calls = {
    "partial of a method": lambda store: (partial(store.write, "k"),),
    "lambda of a method": lambda store: (lambda: store.write("k"),),
    "object": lambda store: (store, "k"),
    "partial of an object": lambda store: (partial(store, "k"),),
}
seen = {name: asyncio.run(attempt(make)) for name, make in calls.items()}
for name, (came_back, outcome, count) in seen.items():
    print(f"{name:20}: {came_back} came back, then {outcome!r}, {count} calls")

retried = ("str", "stored k", 3)
not_retried = ("coroutine", "ConnectionError: busy", 1)
assert seen["partial of a method"] == retried, "the partial of a method changed"
assert seen["object"] == retried, "the object changed"
assert seen["lambda of a method"] == not_retried, "the lambda changed"
assert seen["partial of an object"] == not_retried, "the partial of an object changed"
PY
