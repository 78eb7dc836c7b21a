"""Whatever happens to batches, the buffer holds the newest undelivered change of every id."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from semilayer_pipelines.client import Action, Change
from semilayer_pipelines.client.buffer import Buffer, take_batch
from semilayer_pipelines.http.contract import MAX_BODY_BYTES, MAX_CHANGES

ids = st.text('abcdeé\u0001🜚"\\', min_size=1, max_size=2)
changes = st.builds(Change, ids, st.sampled_from(Action))


def newest(history: list[Change]) -> list[Change]:
    """The model: of each id only the last change, in the order of the last changes."""
    last = {change.id: position for position, change in enumerate(history)}
    return [history[position] for position in sorted(last.values())]


class BufferMachine(RuleBasedStateMachine):
    """Adds, sends, acknowledges and fails in any order; a plain list is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = Buffer()
        self.undelivered: list[Change] = []
        self.sending: tuple[Change, ...] = ()
        self.service: dict[str, Action] = {}
        self.source: dict[str, Action] = {}

    @rule(given=st.lists(changes, max_size=8))
    def add(self, given: list[Change]) -> None:
        self.buffer.add(given, now=1.0)
        self.undelivered += given
        self.source |= {change.id: change.action for change in given}

    @precondition(lambda self: not self.sending)
    @rule()
    def take(self) -> None:
        expected = newest(self.undelivered)
        self.sending, body = self.buffer.take()
        assert list(self.sending) == expected
        assert [(c["id"], c["action"]) for c in json.loads(body)["changes"]] == [
            (change.id, change.action) for change in expected
        ]
        self.undelivered = list(self.sending)

    @precondition(lambda self: self.sending)
    @rule()
    def acknowledge(self) -> None:
        self.service |= {change.id: change.action for change in self.sending}
        self.undelivered = self.undelivered[len(self.sending) :]
        self.sending = ()
        self.buffer.delivered()

    @precondition(lambda self: self.sending)
    @rule(arrived=st.booleans())
    def fail(self, arrived: bool) -> None:
        if arrived:
            self.service |= {change.id: change.action for change in self.sending}
        self.sending = ()
        self.buffer.undelivered(now=2.0)

    @invariant()
    def holds_all_that_was_not_acknowledged(self) -> None:
        assert list(self.buffer.pending()) == newest(self.undelivered)
        assert len(self.buffer) == len(newest(self.undelivered))

    @invariant()
    def a_clock_runs_while_something_waits(self) -> None:
        assert (self.buffer.waiting_since is not None) == (self.buffer.waiting > 0)

    @invariant()
    def service_and_buffer_together_know_the_source(self) -> None:
        pending = {change.id: change.action for change in self.buffer.pending()}
        assert self.service | pending == self.source


BufferMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestBuffer: Any = BufferMachine.TestCase


def test_a_batch_never_has_more_ids_than_a_call_may_carry() -> None:
    many = [Change(str(i), Action.UPSERT) for i in range(MAX_CHANGES + 1)]
    batch, _ = take_batch(many)
    assert len(batch) == MAX_CHANGES


def test_a_batch_of_long_ids_stays_under_eight_megabytes() -> None:
    # Given ids of the longest kind: every character is six bytes in JSON
    many = [Change(f"{i:05}" + "\u0001" * 507, Action.DELETE) for i in range(5_000)]
    # When they are cut into batches
    batch, body = take_batch(many)
    # Then the first one is nearly full, and no byte over
    assert MAX_BODY_BYTES - 4_000 < len(body) <= MAX_BODY_BYTES
    assert len(json.loads(body)["changes"]) == len(batch) < len(many)


@given(st.lists(changes, max_size=20))
def test_a_body_reads_back_as_the_changes_it_was_made_of(given: list[Change]) -> None:
    batch, body = take_batch(given)
    assert json.loads(body) == {
        "mode": "records",
        "changes": [{"id": change.id, "action": change.action} for change in batch],
    }
    assert list(batch) == given


def test_a_second_batch_waits_for_the_first() -> None:
    # Given a batch on its way
    buffer = Buffer()
    buffer.add([Change("1", Action.UPSERT)], now=0.0)
    buffer.take()
    buffer.add([Change("1", Action.DELETE)], now=0.0)
    # When another one is taken, then it is refused: it could overtake the first
    with pytest.raises(RuntimeError, match="in order"):
        buffer.take()
