"""The body of an ingest call: a mode and, for `records`, its changes.

Ten thousand changes are checked as columns (all ids, then all actions), never one by one; only a
fault is looked for row by row, to say where it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from semilayer_pipelines.errors import nearest
from semilayer_pipelines.http.contract import (
    INGEST_MODES,
    MAX_CHANGES,
    MAX_ID_CHARACTERS,
    Action,
    Mode,
)
from webhook.service.json_text import parse, plain
from webhook.service.problems import Code, Problem, bad_request

__all__ = ["Changes", "read_ingest"]

Changes = list[tuple[str, Action]]

_MODES = {mode.value: mode for mode in INGEST_MODES}
_ACTIONS = {action.value: action for action in Action}
_SHOWN = 80
_FORM = '{"mode": "records", "changes": [{"id": "42", "action": "upsert"}]}'


def read_ingest(body: bytes) -> tuple[Mode, Changes]:
    """Return what an ingest call asks for; raises `Problem`."""
    pairs = parse(body)
    if not isinstance(pairs, tuple):
        raise bad_request("The body is not a JSON object.", f"Send something like {_FORM}.")
    fields = _fields(pairs)
    mode = _mode(fields)
    given = "changes" in fields
    if mode is not Mode.RECORDS:
        if given:
            raise bad_request(
                f"'changes' has no meaning with mode '{mode}'.", "Leave it out, or use 'records'."
            )
        return mode, []
    if not given:
        raise bad_request("'changes' is missing.", f"Mode 'records' needs it: {_FORM}.")
    entries = fields["changes"]
    if not isinstance(entries, list):
        raise bad_request("'changes' is not an array.", f"Send something like {_FORM}.")
    if not entries:
        raise bad_request("'changes' is empty.", "Send at least one change, or do not call.")
    if len(entries) > MAX_CHANGES:
        raise Problem(
            Code.TOO_MANY_CHANGES,
            f"'changes' has {len(entries):,} entries; a call takes {MAX_CHANGES:,}.",
            "Split them over several calls.",
        )
    return mode, _changes(entries)


def _fields(pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise bad_request(f"The body has {_shown(name)} twice.")
        if name not in ("mode", "changes"):
            hint = nearest(name, ["mode", "changes"])
            raise bad_request(
                f"The body has an unknown field {_shown(name)}{hint}.", "Send 'mode' and 'changes'."
            )
        fields[name] = value
    return fields


def _mode(fields: dict[str, Any]) -> Mode:
    if "mode" not in fields:
        raise bad_request("'mode' is missing.", f"Modes: {', '.join(_MODES)}.")
    mode = fields["mode"]
    if not isinstance(mode, str) or mode not in _MODES:
        hint = nearest(mode, _MODES) if isinstance(mode, str) else ""
        raise bad_request(f"There is no mode {_shown(mode)}{hint}.", f"Modes: {', '.join(_MODES)}.")
    return _MODES[mode]


def _changes(entries: list[Any]) -> Changes:
    ids, actions = _columns(entries)
    if set(map(type, ids)) != {str}:
        _fault(ids, lambda id: not isinstance(id, str), "is not a text", _id_hint)
    if not all(ids):
        _fault(ids, lambda id: not id, "is empty")
    if max(map(len, ids)) > MAX_ID_CHARACTERS:
        long = f"has more than {MAX_ID_CHARACTERS} characters"
        _fault(ids, lambda id: len(id) > MAX_ID_CHARACTERS, long)
    together = "".join(ids)
    if "\0" in together:
        _fault(ids, lambda id: "\0" in id, "contains NUL")
    if not together.isascii() and not _is_text(together):
        _fault(ids, lambda id: not _is_text(id), "contains half of a surrogate pair")
    if set(map(type, actions)) != {str} or not set(actions) <= _ACTIONS.keys():
        _action_fault(actions)
    if len(set(ids)) < len(ids):
        _duplicate(ids)
    return list(zip(ids, map(_ACTIONS.__getitem__, actions), strict=True))


def _columns(entries: list[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return ids and actions; nearly always every entry names them in the same order."""
    if set(map(type, entries)) == {tuple} and set(map(len, entries)) == {2}:
        names = {(first[0], second[0]) for first, second in entries}
        values = [first[1] for first, _ in entries], [second[1] for _, second in entries]
        if names == {("id", "action")}:
            return values
        if names == {("action", "id")}:
            return values[1], values[0]
    # One by one: the names come in any order, or something is wrong and has to be found.
    rows = [_entry(entry, at) for at, entry in enumerate(entries)]
    return [row["id"] for row in rows], [row["action"] for row in rows]


def _entry(entry: Any, at: int) -> dict[str, Any]:
    if not isinstance(entry, tuple):
        raise bad_request(f"changes[{at}] is not an object.", f"Send something like {_FORM}.")
    row: dict[str, Any] = plain(entry, f"changes[{at}]")
    for name in row:
        if name not in ("id", "action"):
            hint = nearest(name, ["id", "action"])
            raise bad_request(f"changes[{at}] has an unknown field {_shown(name)}{hint}.")
    for name in ("id", "action"):
        if name not in row:
            raise bad_request(f"changes[{at}] has no '{name}'.")
    return row


def _fault(
    ids: Sequence[Any],
    wrong: Callable[[Any], bool],
    what: str,
    hint: Callable[[Any], str] = lambda _: "",
) -> NoReturn:
    at, id = next((at, id) for at, id in enumerate(ids) if wrong(id))
    raise bad_request(f"The id of changes[{at}], {_shown(id)}, {what}.", hint(id))


def _id_hint(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'Ids are texts: write "{value}".'
    return "Ids are texts; a composite key is the text of a JSON array of texts."


def _action_fault(actions: Sequence[Any]) -> NoReturn:
    at, action = next(
        (at, action)
        for at, action in enumerate(actions)
        if not isinstance(action, str) or action not in _ACTIONS
    )
    raise Problem(
        Code.INVALID_ACTION,
        f"The action of changes[{at}], {_shown(action)}, is not 'upsert' or 'delete'.",
        "Use 'upsert' for new and changed rows, 'delete' for removed ones.",
    )


def _duplicate(ids: Sequence[str]) -> NoReturn:
    seen: dict[str, int] = {}
    for at, id in enumerate(ids):
        if id in seen:
            raise bad_request(
                f"changes[{seen[id]}] and changes[{at}] have the same id, {_shown(id)}.",
                "Send the last change of each id only.",
            )
        seen[id] = at
    raise AssertionError("no duplicate")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    match value:
        case tuple():
            return "an object"
        case list():
            return "an array"
        case str():
            return ascii(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")
        case _:
            return json.dumps(value)
