"""Bodies that are refused, each with its code and a message that names the fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from webhook.service.ingest_body import Changes, read_ingest
from webhook.service.problems import Problem

GOOD = {"id": "1", "action": "upsert"}


def refusal(body: bytes | dict[str, Any] | list[Any] | str) -> tuple[str, str]:
    """Return the code and the message with which a body is refused."""
    with pytest.raises(Problem) as refused:
        read_ingest(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert refused.value.code.status == 400
    return refused.value.code.word, f"{refused.value.message} {refused.value.cure}"


def records(*changes: Any) -> dict[str, Any]:
    return {"mode": "records", "changes": list(changes)}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"mode": "full"} x', "line 1"),
        (b"\xff\xfe{}", "not UTF-8, from byte 0"),
        (b'{"mode": "fu\xc3ll"}', "not UTF-8, from byte 12"),
        ('{"mode": "full"}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"mode":' * 5_000, "nested too deeply"),
        (b'{"mode": NaN}', "NaN, which is not JSON"),
        (b'{"mode": -Infinity}', "Infinity"),
        (b'{"mode": ' + b"9" * 5_000 + b"}", "number that is too long"),
        (b'{"mode": "full", "mode": "records"}', "'mode' twice"),
        (b'{"mode": "full", "Mode": "full"}', "unknown field 'Mode' (did you mean 'mode'?)"),
        ({"mode": "full", "chnages": []}, "unknown field 'chnages' (did you mean 'changes'?)"),
        ([], "not a JSON object"),
        ("full", "not a JSON object"),
        ({}, "'mode' is missing"),
        ({"mode": None}, "no mode null"),
        ({"mode": 1}, "no mode 1"),
        ({"mode": "Full"}, "did you mean 'full'?"),
        ({"mode": "smart_sync"}, "Modes: full, incremental, records."),
        ({"mode": ["full"]}, "no mode an array"),
        ({"mode": "records"}, "'changes' is missing"),
        ({"mode": "records", "changes": None}, "'changes' is not an array"),
        ({"mode": "records", "changes": {}}, "'changes' is not an array"),
        ({"mode": "records", "changes": []}, "'changes' is empty"),
        ({"mode": "full", "changes": [GOOD]}, "no meaning with mode 'full'"),
        (records(GOOD, "1"), "changes[1] is not an object"),
        (records(["id", "action"]), "changes[0] is not an object"),
        (records(GOOD, {}), "changes[1] has no 'id'"),
        (records(GOOD, {"id": "2"}), "changes[1] has no 'action'"),
        (records({"action": "upsert"}), "changes[0] has no 'id'"),
        (records(GOOD, GOOD | {"row": {}}), "changes[1] has an unknown field 'row'"),
        (records({"id": "1", "acton": "upsert"}), "(did you mean 'action'?)"),
        (
            records(GOOD | {"id": 42}),
            "The id of changes[0], 42, is not a text. Ids are texts: write",
        ),
        (records(GOOD | {"id": 4.5}), 'write "4.5"'),
        (records(GOOD | {"id": True}), "true, is not a text"),
        (records(GOOD | {"id": None}), "null, is not a text"),
        (records(GOOD | {"id": ["7", "en"]}), "the text of a JSON array"),
        (records(GOOD | {"id": ""}), "is empty"),
        (records(GOOD | {"id": "x" * 513}), "more than 512 characters"),
        (records(GOOD | {"id": "a\0b"}), "contains NUL"),
        (b'{"mode": "records", "changes": [{"id": "\\ud800", "action": "upsert"}]}', "surrogate"),
        (records(GOOD, {"id": "2", "action": "delete"}, GOOD), "changes[0] and changes[2]"),
    ],
)  # fmt: skip
def test_a_body_with_a_fault_is_a_bad_request_that_names_it(body: Any, names: str) -> None:
    code, message = refusal(body)

    assert code == "bad_request"
    assert names in message


def test_a_name_that_stands_twice_in_a_change_is_refused_and_not_guessed() -> None:
    body = b'{"mode": "records", "changes": [{"id": "1", "id": "2", "action": "upsert"}]}'

    assert "changes[0] has 'id' twice" in refusal(body)[1]


@pytest.mark.parametrize(
    "action", ["insert", "UPSERT", "", " upsert", None, 1, True, ["upsert"], {"a": 1}]
)
def test_an_unknown_action_has_a_code_of_its_own(action: Any) -> None:
    code, message = refusal(records(GOOD, {"id": "2", "action": action}))

    assert code == "invalid_action"
    assert "changes[1]" in message


def test_a_refused_value_is_quoted_in_short() -> None:
    assert len(refusal(records(GOOD | {"id": "x" * 100_000}))[1]) < 300
    assert len(refusal({"mode": "x" * 100_000})[1]) < 300
    assert len(refusal({"mode": "full", "x" * 100_000: 1})[1]) < 300


def test_changes_are_read_whatever_the_order_of_their_names() -> None:
    mode, changes = read_ingest(
        json.dumps(
            records(
                {"action": "delete", "id": "1"}, {"id": "2", "action": "upsert"},
            )
        ).encode()
    )  # fmt: skip

    assert mode is Mode.RECORDS
    assert changes == [("1", Action.DELETE), ("2", Action.UPSERT)]


@pytest.mark.parametrize("id", ["x" * 512, "☃" * 512, " ", '["7","en"]', "\U0001f600", "null"])
def test_any_other_text_is_an_id(id: str) -> None:
    assert read_ingest(json.dumps(records(GOOD | {"id": id})).encode())[1] == [(id, Action.UPSERT)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["full", "incremental", "records"]) | JSON,
        "changes": st.lists(
            st.fixed_dictionaries(
                {}, optional={"id": st.text() | JSON, "action": st.just("upsert") | JSON}
            )
            | JSON
        ),
        "other": JSON,
    },
)


@given((JSON | NEARLY).map(lambda value: json.dumps(value).encode()) | st.binary())
@example(b'{"mode": "records", "changes": [[["id", "1"], ["action", "upsert"]]]}')
@example(b'\xef\xbb\xbf{"mode": "full"}')
def test_any_bytes_whatever_are_read_or_refused_and_never_break_anything(body: bytes) -> None:
    outcome = read_or_refuse(body)

    if isinstance(outcome, Problem):
        assert outcome.code.status == 400
        assert json.loads(outcome.body())["error"]["message"]
        return
    mode, changes = outcome
    assert (mode is Mode.RECORDS) == bool(changes)
    assert all(isinstance(id, str) and 1 <= len(id) <= 512 for id, _ in changes)
    assert len({id for id, _ in changes}) == len(changes)


def read_or_refuse(body: bytes) -> tuple[Mode, Changes] | Problem:
    try:
        return read_ingest(body)
    except Problem as problem:
        return problem
