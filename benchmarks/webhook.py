"""The webhook beside an endpoint that only parses and answers, on the same server.

Callers, servers and databases share this machine's cores. All servers stay up while they take turns
under the load, so that a busy moment of the machine falls on all of them alike, and what is quoted
is the median of the rounds' ratios.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

from sqlalchemy import func, select

from benchmarks.catalogue import workplace
from benchmarks.result import Measured, Result, Wanted, measured
from benchmarks.webhook_load import Load, Took
from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.registry import tables
from tests.servers import database, running_postgres
from tests.webhook.server import SEMILAYER, Place

__all__ = ["Size", "measure", "run"]

_ROOT = Path(__file__).resolve().parents[1]
_PATH = "/v1/ingest/items"
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.005
_MB = 2**20

_MIN_SHARE = 0.25
_MAX_P99_MS = 50.0
_MAX_LARGE_MS = {"SQLite": 60.0, "PostgreSQL": 150.0}
_MAX_START_SECONDS = 1.0
_MAX_RESIDENT_MB = 90.0


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, seconds of each load, changes of a large call, and so on."""

    rounds: int = 5
    seconds: float = 3.0
    connections: int = 64
    large_changes: int = 10_000
    large_calls: int = 15
    starts: int = 5
    resident_calls: int = 100


@dataclass(frozen=True)
class _Server:
    """A running server; `place` is `None` for the bare endpoint."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    start_seconds: float
    place: Place | None

    def takes(self, size: Size, **load: float) -> Took:
        """Put a load on it from a process of its own."""
        full = Load(
            port=self.port,
            path=_PATH,
            key=self.place.ik if self.place else "none",
            changes=1,
            connections=size.connections,
            seconds=size.seconds,
        )
        command = [sys.executable, "-m", "benchmarks.webhook_load"]
        done = subprocess.run(
            [*command, json.dumps(asdict(replace(full, **load)))],  # type: ignore[arg-type]
            cwd=_ROOT,
            check=True,
            stdout=subprocess.PIPE,
        )
        took = Took(**json.loads(done.stdout))
        if took.refused:
            raise RuntimeError(f"{self.name} refused {took.refused} of {took.calls} calls")
        return took

    @property
    def resident_mb(self) -> float:
        fields = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        )
        return int(fields["VmRSS"].split()[0]) * 1024 / _MB

    @property
    def processor_seconds(self) -> float:
        """What all its threads have used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = int(fields[11]), int(fields[12])
        return (user + system) / os.sysconf("SC_CLK_TCK")

    @property
    def changes(self) -> int:
        """How many changes the registry holds."""
        assert self.place is not None
        with self.place.project.registry.read() as db:
            return db.scalar(select(func.count()).select_from(tables.changes)) or 0


@dataclass(frozen=True)
class _Round:
    """One server's turn, in seconds: the p99 at half its rate, the p50 of a large call.

    `processor` is what one call costs the server's process, without that of a database.
    """

    rate: float
    processor: float
    half_p99: float
    large_p50: float
    changes: int  # of all its calls


def run() -> list[Result]:
    return measure(Size())


def measure(size: Size) -> list[Result]:
    """Measure everything, in rounds of this size."""
    with workplace() as folder, ExitStack() as stack:
        places = {"SQLite": _place(folder / "sqlite")}
        if server := running_postgres():
            places["PostgreSQL"] = _place(folder / "pg", stack.enter_context(database(server)))
        started = _starts(places["SQLite"], size)
        bare = stack.enter_context(_serving("bare", None))
        services = [stack.enter_context(_serving(name, place)) for name, place in places.items()]
        rounds = _rounds([bare, *services], size)
        results = [result for one in services for result in _compared(one, bare, rounds, size)]
        results += [_kept(one, rounds) for one in services]
    with workplace() as folder:
        return [*results, started, *_resident(_place(folder), size)]


def _place(folder: Path, registry_url: str = "") -> Place:
    folder.mkdir(exist_ok=True)
    return Place.at(folder, registry_url)


def _kept(service: _Server, rounds: dict[str, list[_Round]]) -> Result:
    posted = sum(one.changes for one in rounds[service.name])
    name = f"webhook, {service.name}: changes kept of those answered"
    return Result(name, "", measured([service.changes]), Wanted.EXACTLY, posted)


def _rounds(servers: Sequence[_Server], size: Size) -> dict[str, list[_Round]]:
    rounds: dict[str, list[_Round]] = {server.name: [] for server in servers}
    for number in range(size.rounds):
        # Every other round goes backwards, so that nobody always comes after the same neighbour.
        for server in servers[:: 1 if number % 2 == 0 else -1]:
            rounds[server.name].append(_round(server, size))
    return rounds


def _round(server: _Server, size: Size) -> _Round:
    used = server.processor_seconds
    most = server.takes(size)
    processor = (server.processor_seconds - used) / most.calls
    half = server.takes(size, rate=most.rate / 2)
    large = server.takes(size, changes=size.large_changes, calls=size.large_calls, connections=1)
    changes = most.calls + half.calls + large.calls * size.large_changes
    return _Round(most.rate, processor, half.p99, large.p50, changes)


def _compared(
    service: _Server, bare: _Server, rounds: dict[str, list[_Round]], size: Size
) -> list[Result]:
    mine, its = rounds[service.name], rounds[bare.name]
    name = f"webhook, {service.name}"

    def share(one: _Round, other: _Round) -> float:
        return one.rate / other.rate

    return [
        Result(
            f"{name}: 1-change calls",
            "calls/s",
            measured([one.rate for one in mine]),
            floor=median(one.rate for one in its),
        ),
        Result(
            f"{name}: of the bare endpoint",
            "",
            measured([share(*pair) for pair in zip(mine, its, strict=True)]),
            target=_MIN_SHARE,
        ),
        Result(
            f"{name}: processor a call",
            "µs",
            measured([1e6 * one.processor for one in mine]),
            floor=1e6 * median(one.processor for one in its),
        ),
        Result(
            f"{name}: p99 at half its rate",
            "ms",
            _milliseconds([one.half_p99 for one in mine]),
            Wanted.AT_MOST,
            _MAX_P99_MS,
            floor=1000 * median(one.half_p99 for one in its),
        ),
        Result(
            f"{name}: p50 of a call with {size.large_changes:,} changes",
            "ms",
            _milliseconds([one.large_p50 for one in mine]),
            Wanted.AT_MOST,
            _MAX_LARGE_MS[service.name],
            floor=1000 * median(one.large_p50 for one in its),
        ),
    ]


def _starts(place: Place, size: Size) -> Result:
    seconds: dict[str, list[float]] = {"bare": [], "SQLite": []}
    for _ in range(size.starts):
        for name, of in (("bare", None), ("SQLite", place)):
            with _serving(name, of) as server:
                seconds[name].append(server.start_seconds)
    return Result(
        "webhook: from start to ready",
        "s",
        measured(seconds["SQLite"]),
        Wanted.AT_MOST,
        _MAX_START_SECONDS,
        floor=median(seconds["bare"]),
    )


def _resident(place: Place, size: Size) -> list[Result]:
    """Measure the memory of a service that was given all changes, and count them afterwards.

    Nothing is claimed or acknowledged: the buffer holds them all in the end.
    """
    held: dict[str, list[float]] = {"bare": [], "SQLite": []}
    with ExitStack() as stack:
        for name, of in (("bare", None), ("SQLite", place)):
            server = stack.enter_context(_serving(name, of))
            for callers in (1, 4):
                server.takes(
                    size,
                    changes=size.large_changes,
                    calls=size.resident_calls,
                    connections=callers,
                    seconds=600.0,
                )
                held[name].append(server.resident_mb)
        kept = server.changes
    posted = size.resident_calls * size.large_changes
    return [
        Result(
            f"webhook: resident after {posted:,} changes",
            "MB",
            measured(held["SQLite"][:1]),
            Wanted.AT_MOST,
            _MAX_RESIDENT_MB,
            floor=held["bare"][0],
        ),
        Result(
            "webhook: and after as many from 4 callers at once",
            "MB",
            measured(held["SQLite"][1:]),
            floor=held["bare"][1],
        ),
        Result("webhook: changes kept of both", "", measured([kept]), Wanted.EXACTLY, 2 * posted),
    ]


@contextmanager
def _serving(name: str, place: Place | None) -> Iterator[_Server]:
    port = free_port()
    program = (
        [sys.executable, "-m", "benchmarks.webhook_bare", str(port)]
        if place is None
        else [str(SEMILAYER), "webhook", "--port", str(port)]
    )
    started = time.monotonic()
    process = subprocess.Popen(
        program,
        cwd=place.folder if place else _ROOT,
        env=place.environ if place else None,
        stdout=subprocess.DEVNULL,
    )
    try:
        _await_ready(process, port)
        yield _Server(name, process, port, time.monotonic() - started, place)
    finally:
        process.terminate()
        process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/readyz").close()
        except URLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the service does not come up") from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _milliseconds(seconds: Sequence[float]) -> Measured:
    return measured([1000 * one for one in seconds])
