"""A change that got a 202 is applied, whatever is killed and when (invariants 2, 3 and 7)."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.jobs import Mode
from tests.ingest.test_kill import give_up_on_the_dead, kill_after, start
from tests.lab import Lab
from tests.webhook.server import Place, Server

ROWS = 1_000
BATCH = 20


@dataclass
class Worker:
    """A CDC worker as the page has it: changes the source, tells the service until it is answered.

    `url` follows the service from port to port.
    """

    lab: Lab
    key: str
    url: str
    acknowledged: int = 0
    unanswered: int = 0
    faults: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        dice = random.Random(1)
        with httpx.Client(headers={"authorization": f"Bearer {self.key}"}, timeout=10) as client:
            while not self.stopping.is_set():
                self._tell(client, self._change(dice))

    def _change(self, dice: random.Random) -> list[dict[str, str]]:
        ids = dice.sample(range(1, ROWS + 1), BATCH)
        gone = [id for id in ids if id % 10 == 0]
        with self.lab.source() as db:
            text = f"{dice.random()}"
            db.executemany("UPDATE items SET name = ? WHERE id = ?", [(text, id) for id in ids])
            db.executemany("DELETE FROM items WHERE id = ?", [(id,) for id in gone])
        return [{"id": str(id), "action": "delete" if id in gone else "upsert"} for id in ids]

    def _tell(self, client: httpx.Client, told: list[dict[str, str]]) -> None:
        while True:
            try:
                body = {"mode": "records", "changes": told}
                answer = client.post(f"{self.url}/v1/ingest/items", json=body)
            except httpx.TransportError:
                self.unanswered += 1
                time.sleep(0.02)
                continue
            if answer.status_code != 202:
                self.faults.append(answer.text)
            self.acknowledged += len(told)
            return


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_every_acknowledged_change_is_applied_whoever_is_killed(tmp_path: Path, kills: int) -> None:
    # given a worker that never stops telling of changes
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    place, dice = Place.of(lab.project), random.Random(2)
    server = Server.started(place)
    worker = Worker(lab, place.ik, server.url)
    working = threading.Thread(target=worker.work)
    working.start()

    # when service and runs are killed again and again
    killed_runs = 0
    try:
        for _ in range(kills):
            killed_runs += kill_after(start(lab, Mode.RECORDS), dice.uniform(0.0, 0.4))
            give_up_on_the_dead(lab)
            server.kill()
            server = Server.started(place)
            worker.url = server.url
            time.sleep(dice.uniform(0.0, 0.3))
    finally:
        worker.stopping.set()
        working.join()
        server.end()

    # then a run that is left alone finds all that was acknowledged
    lab.run(lab.request(Mode.RECORDS))
    with lab.project.registry.read() as db:
        assert changes.buffered(db, lab.lens.id) == 0
    assert lab.audit().clean
    assert worker.faults == []
    assert worker.unanswered >= kills / 2
    assert killed_runs >= kills / 4
    assert worker.acknowledged > kills * BATCH
