"""Whatever happens in whatever order: nothing acknowledged is lost, and one sync puts all right."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import Refused, SemilayerError, Terminal
from semilayer_pipelines.ingest import lens_watch, retry
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from tests.lab import ENV
from tests.machine.faults import Fault, script
from tests.machine.world import FIELD_SETS, MODELS, World
from tests.mortal import Died, mortal

PAGE_ROWS = 3
IDS = st.integers(1, 12)
NAMES = ("amber", "anchor", "apple")
ACTIONS = st.sampled_from([Action.UPSERT, Action.UPSERT, Action.DELETE])
STEPS = st.integers(0, 60)
# What is chosen in the middle of a run comes from a seed: where a run stands when something happens
# to it may depend on more than what was drawn.
DICE = st.integers(0, 2**32 - 1).map(random.Random)
MODES = st.sampled_from([Mode.FULL, Mode.INCREMENTAL, Mode.RECORDS, Mode.SMART_SYNC])


class System(RuleBasedStateMachine):
    """A lens and all that happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=_quick_folder())
        self.world = World.at(Path(self.folder.name))
        self.project = self.world.lab.project

    def teardown(self) -> None:
        try:
            self.put_right()
        finally:
            self.world.close()
            self.folder.cleanup()

    @initialize(ids=st.sets(IDS, min_size=4), ingested=st.booleans())
    def begin(self, ids: set[int], ingested: bool) -> None:
        """Let there be rows, most often with an index of them: the rest takes too many steps."""
        self._write(ids, "apple")
        if ingested:
            lifecycle.request_rebuild(self.project, ENV, "items")
            self._rest()

    @rule(dice=DICE)
    def application(self, dice: random.Random) -> None:
        """Let the application write to the source."""
        self._application(dice)

    @rule(changes=st.lists(st.tuples(IDS, ACTIONS), min_size=1, max_size=4))
    def name_changes(self, changes: list[tuple[int, Action]]) -> None:
        self.world.call(Mode.RECORDS, changes)

    @rule(ids=st.sets(IDS, min_size=1, max_size=4), name=st.sampled_from(NAMES))
    def write_and_name(self, ids: set[int], name: str) -> None:
        self._write(ids, name)
        self.world.call(Mode.RECORDS, [(id, Action.UPSERT) for id in ids])

    @rule(mode=st.sampled_from([Mode.FULL, Mode.INCREMENTAL]))
    def call(self, mode: Mode) -> None:
        self.world.call(mode, [])

    @rule(dice=DICE)
    def operator(self, dice: random.Random) -> None:
        """Let a person pause, resume, or ask for work."""
        self._operator(dice)

    @rule(
        fields=st.sampled_from(FIELD_SETS),
        model=st.sampled_from(MODELS),
        shards=st.integers(1, 2),
        rebuild=st.sampled_from(["shadow", "in_place"]),
    )
    def push(self, fields: object, model: object, shards: int, rebuild: str) -> None:
        self.world.push(fields=fields, embedding=model, shards=shards, rebuild=rebuild)

    def _write(self, ids: Iterable[int], name: str) -> None:
        for id in sorted(ids):
            self.world.put(id, name, "of the desert", poison=False, moves=True)

    def _application(self, dice: random.Random) -> None:
        rows = sorted(self.world.model.rows)
        match dice.choice(["write", "write many", "delete", "change key"]):
            case "write":
                id = dice.randint(1, 12)
                self.world.put(
                    id,
                    dice.choice(NAMES),
                    dice.choice(["of the forest", "of the sea"]),
                    poison=id % 4 == 0 and dice.random() < 0.5,
                    moves=dice.random() < 0.5,
                )
            case "write many":
                self._write(dice.sample(range(1, 13), 5), dice.choice(NAMES))
            case "delete" if rows:
                self.world.delete(dice.choice(rows))
            case "change key" if rows:
                new = dice.randint(20, 24)
                if new not in rows:
                    self.world.rekey(dice.choice(rows), new)

    def _operator(self, dice: random.Random) -> None:
        match dice.choice(["pause", "resume", "rebuild", "sync", "repair"]):
            case "pause":
                lifecycle.pause(self.project, ENV, "items")
            case "resume":
                lifecycle.resume(self.project, ENV, "items", confirmed=dice.random() < 0.5)
            case "rebuild":
                lifecycle.request_rebuild(self.project, ENV, "items")
            case "sync":
                self._ask_for_a_sync(confirmed=dice.random() < 0.5)
            case "repair" if self.world.shards():
                self.world.lab.request(Mode.REPAIR, shard=dice.randrange(self.world.shards()))

    def _ask_for_a_sync(self, *, confirmed: bool) -> None:
        try:
            lifecycle.request_sync(self.project, ENV, "items", confirmed=confirmed)
        except Refused:
            assert self.world.lab.lens.status is LensStatus.PAUSED or not self.world.serves()

    # Time and the daemon.

    @rule(seconds=st.sampled_from([0.5, 6, 31, 90, 86_400, -2, -60, -7_200]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.go_on(seconds)

    @rule()
    def look_after_the_silent(self) -> None:
        self.world.recover()

    @rule(fault=st.sampled_from(Fault), at=STEPS, dice=DICE)
    def work(self, fault: Fault, at: int, dice: random.Random) -> None:
        """Run a due job, to which something may happen."""
        self._work(fault, at, dice)

    @rule(mode=MODES, fault=st.sampled_from(Fault), at=STEPS, dice=DICE)
    def ask_and_work(self, mode: Mode, fault: Fault, at: int, dice: random.Random) -> None:
        """Ask for work and have it done at once, whatever else is due first."""
        if mode in (Mode.FULL, Mode.INCREMENTAL, Mode.RECORDS):
            self.world.call(mode, [])
        else:
            self._ask_for_a_sync(confirmed=False)
        self._work(fault, at, dice)

    def _work(self, fault: Fault, at: int, dice: random.Random) -> None:
        self.world.clock.go_on(11)
        due = self.world.due()
        if due:
            job = dice.choice(due)
            shard = dice.choice([None, 0]) if job.mode is Mode.FULL else None
            self._run(job, fault, at, shard, lambda: self._meanwhile(fault, dice))
            self.world.check()

    def _meanwhile(self, fault: Fault, dice: random.Random) -> None:
        """Let something happen while a run stands still."""
        ids = dice.sample(range(1, 13), 4)
        if fault is Fault.PAUSED:
            lifecycle.pause(self.project, ENV, "items")
            return
        if fault is Fault.ASLEEP:
            self.world.clock.go_on(60)
            self.world.recover()
            self._write(ids, dice.choice(NAMES))
            self._ask_for_a_sync(confirmed=False)
        else:
            match dice.choice(["application", "call", "operator", "push", "work"]):
                case "application":
                    self._application(dice)
                case "call":
                    self._write(ids, dice.choice(NAMES))
                    self.world.call(Mode.RECORDS, [(id, Action.UPSERT) for id in ids])
                case "operator":
                    self._operator(dice)
                case "push":
                    self.world.push(fields=dice.choice(FIELD_SETS))
                case "work":
                    self.world.clock.go_on(11)
        for job in self.world.due():
            self._run(job, Fault.NOTHING, 0, None, _nothing)
        self.world.check()

    def _run(
        self, job: Job, fault: Fault, at: int, shard: int | None, meanwhile: Callable[[], None]
    ) -> None:
        life = script(fault, at, meanwhile)
        process = mortal(self.project, life, page_rows=PAGE_ROWS)
        try:
            run_job(process, job.id, shard=shard, was_cancelled=lambda: fault is Fault.CANCELLED)
        except (Died, KeyboardInterrupt):
            pass
        except SemilayerError as error:
            # Each has its class: a bare Terminal is a fault of ours that nobody foresaw.
            if type(error) is Terminal:
                raise AssertionError("nobody foresaw this") from error

    # What must come of it.

    @rule()
    def put_right(self) -> None:
        """Let everything come to rest, sync once, and look."""
        self._rest()
        if self.world.lab.lens.needs is Needs.REBUILD or not self.world.serves():
            lifecycle.request_rebuild(self.project, ENV, "items", confirmed=True)
            self._rest()
        lifecycle.request_sync(self.project, ENV, "items", confirmed=True)
        self._rest()
        self.world.check_in_line()
        assert self.world.lab.lens.status is LensStatus.READY
        assert not self.world.waiting()

    def _rest(self) -> None:
        """Do all that is queued, without any fault; a lens that stopped is resumed once."""
        for turn in range(40):
            # Where the clock was put back, what was due at a time is due at that time still.
            self.world.clock.go_on(120 if turn < 10 else 7_200)
            self.world.recover()
            for job in self.world.due():
                self._run(job, Fault.NOTHING, 0, None, _nothing)
            status = self.world.lab.lens.status
            if status in (LensStatus.PAUSED, LensStatus.ERROR):
                lifecycle.resume(self.project, ENV, "items", confirmed=True)
            elif not self.world.unfinished():
                self.world.check_quiet()
                return
        raise AssertionError(f"it does not come to rest: {self.world.unfinished()}")


def _nothing() -> None:
    return None


def _quick_folder() -> str | None:
    memory = "/dev/shm"
    return memory if os.path.isdir(memory) else None


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the waits out, which are seconds by the clock on the wall: here time is told."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(lens_watch, "PAUSE_CHECK_SECONDS", 0.0)


def machine(*, examples: int, steps: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        System,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_system_keeps_its_promises() -> None:
    machine(examples=5, steps=15, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_the_system_keeps_its_promises_for_long() -> None:
    examples = int(os.environ.get("SEMILAYER_MACHINE_EXAMPLES", "500"))
    machine(examples=examples, steps=30, derandomize=False)
