"""Many lenses are told of many changes at once: all are applied, none twice in an index."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from semilayer_pipelines.registry import changes
from tests.lab import Lab
from tests.webhook.runner import STOP
from tests.webhook.server import Place

RUNNERS = 2
CALLERS = 8


@contextmanager
def runners(folder: Path) -> Iterator[None]:
    """Run due jobs meanwhile, and at the end until none is left."""
    command = [sys.executable, "-m", "tests.webhook.runner", str(folder)]
    running = [subprocess.Popen(command) for _ in range(RUNNERS)]
    try:
        yield
        (folder / STOP).touch()
        assert [process.wait(600) for process in running] == [0] * RUNNERS
    finally:
        for process in running:
            process.kill()
            process.wait()


def change_source(lab: Lab, ids: range) -> list[dict[str, str]]:
    """Change these rows and delete every tenth; return what is to be told."""
    gone = [id for id in ids if id % 10 == 0]
    with lab.source() as db:
        db.executemany("UPDATE items SET name = 'new ' || id WHERE id = ?", [(id,) for id in ids])
        db.executemany("DELETE FROM items WHERE id = ?", [(id,) for id in gone])
    return [{"id": str(id), "action": "delete" if id % 10 == 0 else "upsert"} for id in ids]


@pytest.mark.parametrize(
    ("lens_count", "rows", "slices", "seconds"),
    [(3, 60, 3, 1), pytest.param(50, 2_000, 20, 60, marks=pytest.mark.slow)],
)
@pytest.mark.timeout(1_200)
def test_all_changes_of_many_lenses_are_applied_and_none_twice(
    tmp_path: Path, lens_count: int, rows: int, slices: int, seconds: int
) -> None:
    # given lenses that are indexed
    lab = Lab.at(tmp_path, rows=rows)
    names = [f"items_{number}" for number in range(lens_count - 1)]
    lab.push(*names)
    labs = [lab, *(replace(lab, name=name) for name in names)]
    for one in labs:
        one.full()
    place, acknowledged = Place.of(lab.project), 0

    # when each is told of every row, the calls spread over the time, every fourth made twice
    size = rows // slices
    with (
        place.serving() as server,
        httpx.Client(headers=place.ingest_headers, timeout=30) as client,
        ThreadPoolExecutor(CALLERS) as callers,
        runners(tmp_path),
    ):

        def tell(name: str, told: list[dict[str, str]], times: int) -> int:
            body = {"mode": "records", "changes": told}
            for _ in range(times):
                answer = client.post(f"{server.url}/v1/ingest/{name}", json=body)
                assert answer.status_code == 202, answer.text
            return len(told)

        began = time.monotonic()
        for number in range(slices):
            told = change_source(lab, range(number * size + 1, (number + 1) * size + 1))
            times = [2 if (number + n) % 4 == 0 else 1 for n in range(lens_count)]
            acknowledged += sum(
                callers.map(tell, [one.name for one in labs], [told] * lens_count, times)
            )
            next_slice = began + (number + 1) * seconds / slices
            time.sleep(max(0.0, next_slice - time.monotonic()))
        posted = time.monotonic() - began
    applied = time.monotonic() - began

    # then
    print(f"{acknowledged:,} changes: posted in {posted:.1f} s, all applied after {applied:.1f} s")
    assert acknowledged == lens_count * rows
    for one in labs:
        with lab.project.registry.read() as db:
            assert changes.buffered(db, one.lens.id) == 0
        assert one.audit().clean, one.name
