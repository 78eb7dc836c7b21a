"""Rebuild after rebuild, with changes arriving, runs killed, and searches all the time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from semilayer_pipelines.ingest.run_job import RunEnd
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.beside import beside
from tests.ingest.test_kill import give_up_on_the_dead, kill_after, start
from tests.lab import Lab

ROWS = 600
KEPT = 40
"""Rows that a change may delete; all others are searched for all the time."""


@dataclass
class Searcher:
    """Searches in a loop for every row it was told of, and for no older version of it."""

    lab: Lab
    versions: dict[str, float]
    searches: int = 0

    def look(self) -> None:
        wanted = dict(self.versions)  # before the search: what is applied during it may be in it
        hits = search(self.lab.project, "items", "anything", limit=1_000)
        found = {hit.id: float(str(hit.fields["price"])) for hit in hits}
        self.searches += 1
        assert len(found) == len(hits), "a row was found twice"
        lost = [key for key in wanted if key not in found]
        assert not lost, f"{len(lost)} of {len(wanted)} rows were not found"
        old = [key for key in wanted if found[key] < wanted[key]]
        assert not old, f"{len(old)} rows were found as they were before an applied change"


def arrive(lab: Lab, searcher: Searcher, dice: random.Random, version: int) -> None:
    """Change rows in the source, insert one, delete one, tell of it, and have it applied."""
    new, gone = ROWS + version, dice.randrange(1, KEPT)
    changed = dice.sample(range(KEPT, ROWS), 5)
    with lab.source() as db:
        db.executemany("UPDATE items SET price = ? WHERE id = ?", [(version, n) for n in changed])
        db.execute(
            "INSERT INTO items SELECT ?, name, description, ?, category, updated_at"
            " FROM items WHERE id = ?",
            (new, version, ROWS),
        )
        db.execute("DELETE FROM items WHERE id = ?", (gone,))
    with lab.project.registry.begin() as db:
        named = [(str(n), Action.UPSERT) for n in (*changed, new)]
        told = [*named, (str(gone), Action.DELETE)]
        changes.append(db, lab.lens.id, told, lab.project.clock())
    assert lab.run(lab.request(Mode.RECORDS)).ended is RunEnd.COMPLETED
    searcher.versions |= {str(n): float(version) for n in (*changed, new)}


@pytest.mark.parametrize(
    "rebuilds",
    [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
def test_no_search_misses_a_row_or_a_change_through_rebuilds_that_are_killed(
    tmp_path: Path, rebuilds: int
) -> None:
    # given an index that somebody searches all the time
    lab = Lab.at(tmp_path, rows=ROWS, shards=3)
    with lab.source() as db:
        db.execute("UPDATE items SET price = 0")
    lab.full()
    searcher = Searcher(lab, {str(n): 0.0 for n in range(KEPT, ROWS + 1)})
    dice, killed, version = random.Random(rebuilds), 0, 0

    # when it is rebuilt again and again, changes arrive, and runs are killed at random
    with beside(searcher.look):
        for _ in range(rebuilds):
            for patience in (dice.uniform(0, 0.5), 60.0):
                worker = start(lab, Mode.FULL)
                version += 1
                arrive(lab, searcher, dice, version)
                if not kill_after(worker, patience):
                    break
                killed += 1
                give_up_on_the_dead(lab)

    # then nobody ever missed anything, and the last index is the source
    assert killed
    assert searcher.searches > rebuilds
    assert lab.building() is None
    assert int(lab.index.name[-6:]) > rebuilds
    lab.run(lab.request(Mode.RECORDS))
    assert lab.audit().clean
