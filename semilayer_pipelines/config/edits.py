"""What was changed between two configurations of a lens, key by key.

Works on their JSON, so that paths are those of the file: `fields.title.searchable.weight`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from semilayer_pipelines.config.fields import FieldConfig, FieldType
from semilayer_pipelines.redaction import redact

__all__ = [
    "ABSENT",
    "FIELD_ORDER",
    "Edit",
    "as_json",
    "concern_embedding",
    "edits",
    "lines",
    "value_at",
]

ABSENT: Final = object()
"""Value of a key that does not exist; `None` is the value of a key that is null."""

FIELD_ORDER: Final = ("fields", "(order)")
"""Path of an edit that only moved fields, whose texts are embedded in their order."""


_UNSAID = FieldConfig(type=FieldType.TEXT).model_dump(
    mode="json", by_alias=True, exclude={"type", "undefined_as"}
)
"""What a field has that says nothing but its type, by key of the file."""


@dataclass(frozen=True)
class Edit:
    """One key, what it was and what it is; either may be `ABSENT`."""

    path: tuple[str, ...]
    before: Any
    after: Any


def edits(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Edit]:
    """Return the edits from one configuration to the other; mappings are compared by key."""
    found = list(_edits((), before, after))
    orders = [value_at(config, FIELD_ORDER) for config in (before, after)]
    if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
        found.append(Edit(FIELD_ORDER, *orders))
    return found


def concern_embedding(found: Iterable[Edit], searchable: Collection[str]) -> bool:
    """Say whether an edit changes the texts that are embedded, or the model.

    `searchable` are the names of the fields that are embedded after the edits.
    """
    return any(_concerns_embedding(edit, searchable) for edit in found)


def _concerns_embedding(edit: Edit, searchable: Collection[str]) -> bool:
    match edit.path:
        case ("embedding", *_) | ("fields", _, "searchable", *_) | ("fields", "(order)"):
            return True
        case ("joins", _, "changeTrackingColumn"):
            return False
        case ("joins", *_):
            return True
        case ("fields", _, "keyword"):
            return False
        case ("fields", name):
            before = edit.before if isinstance(edit.before, Mapping) else {}
            return name in searchable or bool(before.get("searchable"))
        case ("fields", name, *_):
            return name in searchable
        case _:
            return False


def _edits(
    path: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Edit]:
    for key in dict.fromkeys([*before, *after]):
        was, is_ = before.get(key, ABSENT), after.get(key, ABSENT)
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            yield from _edits((*path, key), was, is_)
        elif was != is_:
            yield Edit((*path, key), was, is_)


def value_at(config: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return the value at a path, `ABSENT` where it leads nowhere."""
    if path == FIELD_ORDER:
        return list(config.get("fields", ()))
    value: Any = config
    for key in path:
        value = value.get(key, ABSENT) if isinstance(value, Mapping) else ABSENT
    return value


def lines(found: Iterable[Edit]) -> list[str]:
    """Return edits as a diff: `- key: value` for what was, `+ key: value` for what is."""
    shown = []
    for edit in found:
        name = ".".join(edit.path)
        # A missing key and one that is null mean the same, except for undefinedAs.
        for sign, value in (("-", edit.before), ("+", edit.after)):
            if value is not ABSENT and (value is not None or edit.path[-1] == "undefinedAs"):
                told = json.dumps(_said(edit.path, value), ensure_ascii=False)
                shown.append(redact(f"{sign} {name}: {told}"))
    return shown


def _said(path: tuple[str, ...], value: Any) -> Any:
    """Return a whole field without the keys that it leaves as they are by default."""
    if len(path) == 2 and path[0] == "fields" and isinstance(value, Mapping):
        return {key: v for key, v in value.items() if v != _UNSAID.get(key, ABSENT)}
    return value


def as_json(edit: Edit) -> dict[str, object]:
    """Return an edit as JSON; `before` or `after` is left out where the key is not there."""
    values = {"before": edit.before, "after": edit.after}
    return {"path": list(edit.path)} | {
        # An address that an older version stored may hold a password.
        name: redact(value) if isinstance(value, str) else value
        for name, value in values.items()
        if value is not ABSENT
    }
