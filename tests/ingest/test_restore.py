"""A registry that was restored from a back-up, beside indexes that went on meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.ingest.retention import KEEP_RETIRED, tidy
from semilayer_pipelines.ingest.run_job import RunEnd
from tests.lab import ENV, Lab
from tests.workload import FIELDS

LESS = {name: field for name, field in FIELDS.items() if name != "category"}
OTHERWISE: dict[str, dict[str, Any]] = {
    "the same": {},
    "a field less": {"fields": LESS},
    "a field of another type": {"fields": FIELDS | {"price": {"type": "text"}}},
    "a shorter vector": {"embedding": {"provider": "hash", "dimensions": 16}},
}


@contextmanager
def restored(lab: Lab) -> Iterator[None]:
    """Back the registry up, and restore it at the end."""
    registry, backup = lab.folder / ".semilayer" / "registry.db", lab.folder / "registry.bak"
    _copy(registry, backup)
    yield
    lab.project.registry.close()
    _copy(backup, registry)


def _copy(one: Path, other: Path) -> None:
    with closing(sqlite3.connect(one)) as db, closing(sqlite3.connect(other)) as to:
        db.backup(to)


def changed(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'rather new' WHERE id <= 5")
        db.execute("DELETE FROM items WHERE id > 40")


@pytest.fixture(params=["lancedb", "weaviate"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of the one store, then of the other."""
    if request.param == "lancedb":
        return {}
    told: dict[str, str] = request.getfixturevalue("environ")
    return told


def test_a_sync_after_a_restore_brings_the_index_in_line(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    lab = Lab.at(tmp_path, rows=50, environ=settings)
    lab.full()

    with restored(lab):
        changed(lab)
        lab.sync()
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'newer still' WHERE id = 9")
        lab.sync()

    lab.sync()
    assert lab.audit().clean


@pytest.mark.parametrize(
    ("settings", "otherwise"),
    [
        pytest.param(
            store,
            other,
            id=f"{store}, {name}",
            # What is found under the next number is the engine's to see, whatever the store.
            marks=[pytest.mark.slow]
            if store == "weaviate" and name != "a field of another type"
            else [],
        )
        for store in ("lancedb", "weaviate")
        for name, other in OTHERWISE.items()
    ],
    indirect=["settings"],
)
def test_a_rebuild_after_a_restore_mixes_nothing_with_what_was_built_since(
    tmp_path: Path, settings: dict[str, str], otherwise: dict[str, Any]
) -> None:
    # given a registry from before a rebuild, which was of another configuration
    lab = Lab.at(tmp_path, rows=50, environ=settings)
    lab.full()
    with restored(lab):
        lab.push(**otherwise)
        lab.full()
    changed(lab)

    # when it gives the number of that generation to another
    done = lab.full()

    # then
    assert done.ended is RunEnd.COMPLETED
    assert lab.audit().clean
    # and what it knows nothing of, and cannot use, is gone with the generation it replaced
    tidy(
        replace(
            lab.project, clock=lambda: lab.project.clock() + KEEP_RETIRED + timedelta(seconds=1)
        )
    )
    assert lab.project.store(ENV).names() == [lab.index.name]


@pytest.mark.parametrize("otherwise", OTHERWISE.values(), ids=list(OTHERWISE))
def test_a_restored_registry_whose_index_is_gone_is_rebuilt(
    tmp_path: Path, otherwise: dict[str, Any]
) -> None:
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    old = lab.index.name
    with restored(lab):
        lab.push(**otherwise)
        lab.full()
    lab.project.store(ENV).drop(old)

    lab.full()

    assert lab.audit().clean
