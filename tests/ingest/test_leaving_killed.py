"""A run that dies while objects leave an index leaves nothing that the next does not mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.ingest.test_kill import give_up_on_the_dead
from tests.lab import Lab
from tests.mortal import Died, Life, mortal
from tests.workload import FIELDS

ROWS = 60
EMPTIED, MOVED, BROKEN = range(1, 7), range(7, 13), range(13, 19)
LENS = FIELDS | {
    "category": {"type": "text"},
    "price": {"type": "number", "from": "price"},
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lens of two tenants from which rows are to leave, for three reasons."""
    made = Lab.at(tmp_path, rows=ROWS, fields=LENS, tenant="category", onFailure="remove")
    change(made, "category = 'a'", range(1, ROWS + 1))
    made.full()
    change(made, "name = '', description = NULL", EMPTIED)
    change(made, "category = 'b', price = 'no number'", MOVED)
    change(made, "price = 'no number'", BROKEN)
    with made.project.registry.begin() as db:
        named = [(str(id), Action.UPSERT) for id in (*EMPTIED, *MOVED, *BROKEN)]
        changes.append(db, made.lens.id, named, made.project.clock())
    return made


def change(lab: Lab, what: str, ids: range) -> None:
    with lab.source() as db:
        db.execute(
            f"UPDATE items SET {what}, updated_at = '2026-06-01 00:00:00' "
            f"WHERE id IN ({', '.join(map(str, ids))})"
        )


def dies_at(what: str) -> Life:
    """Return a process that dies the first time that it comes to a step once objects left."""
    left = False

    def step(at: str, life: Life) -> None:
        nonlocal left
        left = left or at.startswith("index.delete")
        if left and at == what:
            life.die()

    return Life(step)


@pytest.mark.parametrize("mode", [Mode.RECORDS, Mode.INCREMENTAL, Mode.SMART_SYNC])
@pytest.mark.parametrize(
    "step", ["index.delete", "index.delete.done", "registry.begin", "registry.committed"]
)
def test_a_run_that_dies_while_rows_leave_is_made_up_for_by_the_next(
    lab: Lab, mode: Mode, step: str
) -> None:
    # given a run that died at a step of taking objects out
    job = lab.request(mode)
    with pytest.raises(Died):
        run_job(mortal(lab.project, dies_at(step)), job.id)
    give_up_on_the_dead(lab)

    # when it is done again
    again = lab.request(mode)
    assert run_job(lab.project, again.id).ended is RunEnd.COMPLETED

    # then what had to leave has left, once, and the rest is there
    assert lab.index.count() == ROWS - len(EMPTIED) - len(MOVED) - len(BROKEN)
    assert audit(lab.project, lab.lens).in_line
    for tenant in ("a", "b"):
        found = search(lab.project, "items", "x", limit=ROWS, where={"category": tenant})
        assert not {hit.id for hit in found} & set(map(str, (*EMPTIED, *MOVED, *BROKEN)))
    with lab.project.registry.read() as db:
        told = failed_rows.keys(db, lab.lens.id, ROWS)
    assert sorted(map(int, told)) == [*MOVED, *BROKEN]
