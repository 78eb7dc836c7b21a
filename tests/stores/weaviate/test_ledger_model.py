"""Random histories: whatever happened, a scan tells what the server holds, and a sync mends all."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, ROW_HASH, Index, IndexSchema
from semilayer_pipelines.stores.weaviate import connection, writes
from semilayer_pipelines.stores.weaviate import ledger as ledgers
from tests.stores.objects import DIMENSION, ONE_FIELD, hash_of, objects
from tests.stores.weaviate.doubled import MemoryStamps, changed, collection_of, opened
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double
from tests.weaviate_double.shard import Collection

KEYS = [f"k{n}" for n in range(6)] + ["", 'é"[1]']
TEXTS = ["one", "two", "three"]
BY_TITLE = IndexSchema(ONE_FIELD.fields, DIMENSION, "title")
Row = tuple[str, int]
some_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True)


def frame(rows: dict[str, Row]) -> pl.DataFrame:
    """Return objects of rows, each with a text and a price."""
    frames = []
    for key, (text, price) in rows.items():
        one = changed([key], text).with_columns(
            pl.lit(hash_of(f"{key}{text}{price}")).alias(ROW_HASH),
            pl.lit(datetime.now(UTC)).dt.cast_time_unit("us").alias(INDEXED_AT),
        )
        frames.append(one)
    return pl.concat(frames) if frames else objects([])


class Histories(RuleBasedStateMachine):
    """Two machines that write to one collection, with all that may happen to either."""

    tenants = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.serving = Double.serving()
        self.double = self.serving.__enter__()
        self.stamps = MemoryStamps()
        self.source: dict[str, Row] = {}
        self.machines: list[Index] = []
        self.kept: dict[int, Path] = {}
        self.backup: dict[str, dict[bytes, Any]] | None = None

    @initialize()
    def make(self) -> None:
        schema = BY_TITLE if self.tenants else ONE_FIELD
        self.store(0).create("lens-g1", schema)
        self.machines = [self.store(n).open("lens-g1") for n in range(2)]

    def store(self, machine: int) -> Any:
        return opened(self.double, self.folder / str(machine), self.stamps)

    def parts(self) -> dict[str, Any]:
        whole: Collection = collection_of(self.double)
        return dict(whole.tenants) if self.tenants else {"": whole}

    def held(self) -> Counter[tuple[str, str | None]]:
        """Return what the server holds, foreign objects with no hash."""
        told: Counter[tuple[str, str | None]] = Counter()
        for part in self.parts().values():
            for id_, stored in part.objects.items():
                key = stored.properties.get("_key")
                foreign = "foreign" in str(stored.properties.get("title"))
                if key is None:
                    key = f"weaviate:{uuid.UUID(bytes=id_)}"
                told[key, None if foreign else stored.properties["_row_hash"]] += 1
        return told

    def attempt(self, index: Index, action: Callable[[], object]) -> None:
        # A run that meets it ends, and the next one starts over.
        with suppress(StoreUnavailable), index.lock():
            action()
        self.double.faults.waiting.clear()

    @rule(
        machine=st.integers(0, 1),
        keys=some_keys,
        text=st.sampled_from(TEXTS),
        price=st.integers(0, 2),
        fault=st.sampled_from([None, None, "lost", "refused", "no delete", "lost delete"]),
        times=st.sampled_from([1, 99]),
    )
    def write(
        self, machine: int, keys: list[str], text: str, price: int, fault: str | None, times: int
    ) -> None:
        away = grpc.StatusCode.UNAVAILABLE
        match fault:
            case "lost":
                self.double.faults.add("BatchObjects", Kind.APPLIED, times=times, code=away)
            case "refused":
                self.double.faults.add("BatchObjects", Kind.STATUS, times=times, code=away)
            case "no delete":
                self.double.faults.add("BatchDelete", Kind.STATUS, times=times, code=away)
            case "lost delete":
                self.double.faults.add("BatchDelete", Kind.APPLIED, times=times, code=away)
        rows = dict.fromkeys(keys, (text, price))
        self.source |= rows
        index = self.machines[machine]
        self.attempt(index, lambda: index.upsert(frame(rows)))

    @rule(machine=st.integers(0, 1), keys=some_keys)
    def delete(self, machine: int, keys: list[str]) -> None:
        for key in keys:
            self.source.pop(key, None)
        index = self.machines[machine]
        self.attempt(index, lambda: index.delete(keys))

    @rule(machine=st.integers(0, 1), keys=some_keys)
    def rewrite(self, machine: int, keys: list[str]) -> None:
        index = self.machines[machine]
        self.attempt(index, lambda: index.rewrite(keys))

    @rule(machine=st.integers(0, 1))
    def keep_ledger(self, machine: int) -> None:
        folder = self.folder / str(machine) / "ledgers"
        kept = self.folder / f"kept-{machine}"
        shutil.rmtree(kept, ignore_errors=True)
        if folder.exists():
            shutil.copytree(folder, kept)
            self.kept[machine] = kept

    @rule(machine=st.integers(0, 1), copied_from=st.integers(0, 1))
    def restore_ledger(self, machine: int, copied_from: int) -> None:
        if copied_from in self.kept:
            folder = self.folder / str(machine) / "ledgers"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.kept[copied_from], folder)

    @rule()
    def back_up_server(self) -> None:
        self.backup = {name: dict(part.objects) for name, part in self.parts().items()}

    @rule()
    def restore_server(self) -> None:
        if self.backup is None:
            return
        for name, part in self.parts().items():
            for id_ in list(part.objects):
                part.remove(id_)
            for id_, stored in self.backup.get(name, {}).items():
                part.put(id_, stored)

    @rule(key=st.sampled_from([*KEYS, None]))
    def put_foreign_object(self, key: str | None) -> None:
        for part in self.parts().values():
            for stored in list(part.objects.values()):
                if "foreign" in str(stored.properties.get("title")):
                    continue
                copy = replace(stored, properties={**stored.properties, "title": "foreign"})
                if key is None:
                    copy.properties.pop("_key")
                else:
                    copy.properties["_key"] = key
                part.put(uuid.uuid4().bytes, copy)
                return

    @rule(data=st.data())
    def remove_a_tenant(self, data: st.DataObject) -> None:
        if self.tenants and self.parts():
            del collection_of(self.double).tenants[data.draw(st.sampled_from([*self.parts()]))]

    @rule(machine=st.integers(0, 1))
    def sync(self, machine: int) -> None:
        """Do what a smart sync does; then the index is the source, one object a row."""
        index = self.store(machine).open("lens-g1")
        self.machines[machine] = index
        found: dict[str, list[bytes | None]] = {}
        for page in index.scan():
            for key, row in page.select(KEY, ROW_HASH).iter_rows():
                found.setdefault(key, []).append(row)
        want = frame(self.source)
        hashes = dict(zip(want[KEY], want[ROW_HASH], strict=True))
        changed = [key for key, row in hashes.items() if found.get(key) != [row]]
        with index.lock():
            index.delete([key for key in found if key not in hashes])
            if changed:
                index.upsert(want.filter(pl.col(KEY).is_in(changed)))
        wanted = Counter({(key, row.hex()): 1 for key, row in hashes.items()})
        assert self.held() == wanted

    @invariant()
    def a_scan_tells_what_is_held(self) -> None:
        for index in self.machines:
            told: Counter[tuple[str, str | None]] = Counter()
            for page in index.scan():
                told.update(
                    (key, row and row.hex()) for key, row in page.select(KEY, ROW_HASH).iter_rows()
                )
            assert told == self.held()

    def teardown(self) -> None:
        self.serving.__exit__(None, None, None)
        shutil.rmtree(self.folder)


class TenantHistories(Histories):
    """The same, where the text says in which tenant a row is."""

    tenants = True


@pytest.mark.parametrize("machine", [Histories, TenantHistories])
def test_in_whatever_history_the_ledger_is_never_believed_wrongly(
    machine: type[Histories], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(writes, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(ledgers, "COMPACT_PARTS", 3)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
