"""Random histories of writes, with every fault a server can have, against a plain dictionary."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH
from tests.stores.objects import ONE_FIELD, hash_of, names, objects
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.front import faulty

KEYS = names(12)
SOME_KEYS = st.lists(st.sampled_from(KEYS), min_size=1, max_size=8, unique=True)
FAULTS = st.sampled_from([Kind.STATUS, Kind.APPLIED, Kind.RESET, Kind.APPLIED_RESET])


class Histories(RuleBasedStateMachine):
    """An index on a faulty server, and what it ought to hold."""

    schema = ONE_FIELD

    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        self.model: dict[str, str] = {}

    @initialize()
    def start(self) -> None:
        folder = Path(self.opened.enter_context(tempfile.TemporaryDirectory()))
        self.server = self.opened.enter_context(faulty(os.environ))
        # A real server outlives the history: a prefix of its own, and nothing left under it.
        prefix = {"WEAVIATE_PREFIX": f"T{uuid4().hex[:10]}"}
        store = open_store("weaviate", folder, "development", environ=self.server.environ | prefix)
        self.index = store.create("lens-g1", self.schema)
        self.opened.callback(store.drop, "lens-g1")
        self.opened.callback(self.server.faults.waiting.clear)

    @rule(verb=st.sampled_from(["BatchObjects", "BatchDelete", "Search"]), kind=FAULTS)
    def break_the_next_call(self, verb: str, kind: Kind) -> None:
        if len(self.server.faults.waiting) < 2:
            self.server.faults.add(verb, kind)

    @rule()
    def delete_by_halves(self) -> None:
        self.server.faults.add("BatchDelete", Kind.PARTIAL)

    @rule(keys=SOME_KEYS, title=st.sampled_from("abc"))
    def write(self, keys: list[str], title: str) -> None:
        with self.index.lock():
            assert self.index.upsert(objects(keys, title=title)) == len(keys)
        self.model |= dict.fromkeys(keys, title)

    @rule(keys=SOME_KEYS)
    def delete(self, keys: list[str]) -> None:
        with self.index.lock():
            self.index.delete(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(keys=SOME_KEYS, title=st.sampled_from("abc"))
    def give_up_and_write_again(self, keys: list[str], title: str) -> None:
        """A write that never gets an answer, and the same by whoever comes next."""
        self.server.faults.waiting.clear()
        self.server.faults.add("BatchObjects", Kind.APPLIED, times=4)
        with self.index.lock():
            try:
                self.index.upsert(objects(keys, title=title))
            except StoreUnavailable:
                self.server.faults.waiting.clear()
                self.index.upsert(objects(keys, title=title))
        self.model |= dict.fromkeys(keys, title)

    @invariant()
    def the_index_holds_what_was_acknowledged(self) -> None:
        if not hasattr(self, "index"):
            return
        found = [row for frame in self.index.scan() for row in frame.rows(named=True)]
        assert sorted(row[KEY] for row in found) == sorted(self.model)
        assert {row[KEY]: row[ROW_HASH] for row in found} == {
            key: hash_of(key + title) for key, title in self.model.items()
        }

    def teardown(self) -> None:
        self.opened.close()


class Moves(Histories):
    """The same where each title is a tenant, so that rows go from one to another."""

    schema = replace(ONE_FIELD, tenant="title")

    @rule(kind=FAULTS)
    def break_the_next_look_at_the_tenants(self, kind: Kind) -> None:
        if len(self.server.faults.waiting) < 2:
            self.server.faults.add("TenantsGet", kind)

    @rule(keys=SOME_KEYS, title=st.sampled_from("abc"))
    def move_and_be_stopped_before_the_old_rows_go(self, keys: list[str], title: str) -> None:
        self.server.faults.waiting.clear()
        with self.index.lock():
            self.index.add(objects(keys, title=title))
            self.index.upsert(objects(keys, title=title))
        self.model |= dict.fromkeys(keys, title)


Histories.TestCase.settings = Moves.TestCase.settings = settings(
    max_examples=3,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


# Three short histories of each: the more, the longer it takes to wait for what is retried.
TestHistories = Histories.TestCase
TestMoves = Moves.TestCase
