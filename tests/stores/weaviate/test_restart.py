"""A run waits for a server that restarts; everybody else is told within seconds."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import tenacity

from semilayer_pipelines.errors import IndexDropped, StoreRefused, StoreUnavailable
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.stores import open_store, patience
from semilayer_pipelines.stores.patience import RESTART_SECONDS, patiently, threads
from semilayer_pipelines.stores.protocol import Index
from semilayer_pipelines.stores.weaviate import writes
from tests.stores.objects import ONE_FIELD, objects
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double

_UNREAD = "could not find class Development_lens_g1 in schema"
AWAY_S = 4.5  # longer than whoever is not patient waits


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    store = open_store("weaviate", tmp_path, "development", environ=double.environ)
    index = store.create("lens-g1", ONE_FIELD)
    with index.lock():
        index.upsert(objects(["a"]))
    return index


@dataclass
class Waits:
    """Waiting, which takes no time as long as a server is away; it is back after some of it.

    It stands in the place of `time`, so that nothing here depends on how long anything takes.
    """

    waited: float = 0.0
    _back_at: float = math.inf
    _come_back: Callable[[], None] | None = None
    _one: threading.Lock = field(default_factory=threading.Lock)
    time_ns = staticmethod(time.time_ns)

    def monotonic(self) -> float:
        return time.monotonic() + self.waited

    def sleep(self, seconds: float) -> None:
        with self._one:
            if self._come_back is not None:
                self.waited += seconds
                if self.waited >= self._back_at:
                    self._come_back()
                    self._come_back = None
                return
        time.sleep(seconds)

    def until_back(self, come_back: Callable[[], None], seconds: float = AWAY_S) -> None:
        """Skip all waits until so many seconds were waited; then let the server come back."""
        self._back_at, self._come_back = self.waited + seconds, come_back

    @contextmanager
    def away(self, double: Double, seconds: float = AWAY_S) -> Iterator[None]:
        """Let the server go away, and come back once so many seconds were waited."""
        double.stop_grpc()
        self.until_back(double.start_grpc, seconds)
        yield
        assert self._come_back is None, "nobody waited for the server"

    @contextmanager
    def away_for_good(self, double: Double) -> Iterator[None]:
        """Let the server be away for as long as the block lasts."""
        double.stop_grpc()
        self.until_back(double.start_grpc, math.inf)
        yield
        self._come_back = None
        double.start_grpc()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    found = Waits()
    for module in (tenacity.nap, patience, writes):
        monkeypatch.setattr(module, "time", found)
    return found


def test_a_patient_caller_reads_when_the_server_is_back(
    double: Double, index: Index, waits: Waits
) -> None:
    with waits.away(double), patiently():
        assert index.count() == 1


def test_a_run_writes_and_deletes_when_the_server_is_back(
    double: Double, index: Index, waits: Waits
) -> None:
    with waits.away(double, 10.0), patiently(), index.lock():
        assert retrying(lambda: index.upsert(objects(["b"])), StoreUnavailable) == 1
    with waits.away(double), patiently(), index.lock():
        assert retrying(lambda: index.delete(["a"]), StoreUnavailable) == 1
    assert index.count() == 1


def test_an_interrupt_need_not_wait_for_a_server_that_is_away(
    double: Double, index: Index, waits: Waits
) -> None:
    with waits.away_for_good(double), patiently(), index.lock():
        with pytest.raises(StoreUnavailable):
            index.add(objects(["b"]))  # where no interrupt reaches it
        assert waits.waited < AWAY_S


def test_threads_of_a_patient_caller_are_as_patient(
    double: Double, index: Index, waits: Waits
) -> None:
    with waits.away(double), patiently(), threads(2) as asking:
        assert list(asking.map(lambda _: index.count(), range(4))) == [1] * 4


def test_who_is_not_patient_hears_of_it_while_the_server_is_away(
    double: Double, index: Index, waits: Waits
) -> None:
    with waits.away_for_good(double):
        with patiently():
            pass  # patience ends with its block
        with pytest.raises(StoreUnavailable) as told:
            index.count()
    assert waits.waited < AWAY_S
    assert not told.value.waited


def test_patience_has_an_end_and_nobody_waits_for_the_same_twice(
    double: Double, index: Index, waits: Waits
) -> None:
    started = waits.monotonic()
    with (
        waits.away_for_good(double),
        patiently(),
        pytest.raises(StoreUnavailable) as told,
    ):
        retrying(index.count, StoreUnavailable)
    assert told.value.waited
    assert waits.monotonic() - started >= RESTART_SECONDS
    assert waits.waited < RESTART_SECONDS + AWAY_S


def test_a_refusal_and_other_trouble_are_not_waited_for(
    double: Double, index: Index, waits: Waits
) -> None:
    waits.until_back(lambda: None, math.inf)
    double.faults.add("Aggregate", Kind.STATUS, code=grpc.StatusCode.PERMISSION_DENIED)
    with patiently(), pytest.raises(StoreRefused):
        index.count()
    assert waits.waited == 0.0
    unknown = {"code": grpc.StatusCode.UNKNOWN, "text": "leader not found"}
    double.faults.add("Aggregate", Kind.STATUS, times=9, **unknown)
    with patiently(), pytest.raises(StoreUnavailable) as told:
        index.count()
    assert waits.waited < AWAY_S
    assert not told.value.waited


def test_a_server_that_is_starting_is_not_believed_that_there_is_no_collection(
    double: Double, tmp_path: Path, index: Index, waits: Waits
) -> None:
    # given a server that answers 404 for all that it has not read yet, as a real one was seen to
    store = open_store("weaviate", tmp_path, "development", environ=double.environ)
    kept, double.state.classes = double.state.classes, {}
    double.rest.ready.clear()
    double.rest.answers_early = True

    # then it is away, and no index is lost
    with pytest.raises(StoreUnavailable, match="is starting"):
        store.find(index.name)

    # when it is ready in a while
    def come_up() -> None:
        double.state.classes = kept
        double.rest.ready.set()

    waits.until_back(come_up)
    with patiently():
        assert store.exists(index.name)
    assert not store.exists("lens-g2")


def test_a_search_of_a_server_that_is_starting_loses_no_index(double: Double, index: Index) -> None:
    # given a server that answers before it has read its schema, as a real one was seen to
    kept, double.state.classes = double.state.classes, {}
    double.rest.ready.clear()

    # then nobody is told that the index was dropped
    with pytest.raises(StoreUnavailable, match="is starting"):
        index.hidden(["a"])

    # when it has read the schema between its answer and our second question
    double.state.classes = kept
    double.rest.ready.set()
    double.faults.add("Search", Kind.STATUS, code=grpc.StatusCode.UNKNOWN, text=_UNREAD)
    assert index.hidden(["a"]) == []

    # and a collection that is gone is gone
    double.state.classes = {}
    with pytest.raises(IndexDropped):
        index.hidden(["a"])
