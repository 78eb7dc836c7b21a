"""A configuration that was read from another product's, and what in it has no counterpart here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import ValidationError

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.config.problems import path_of, sentence
from semilayer_pipelines.starter.config_text import yaml_text

__all__ = ["Imported", "Note", "fitting_lens", "imported_text", "in_order", "why_none"]

_TOLD = 3
"""How many reasons are told where nothing could be taken over."""


@dataclass(frozen=True)
class Note:
    """Something that could not be taken over: where it stands, and what to do instead."""

    line: int | None
    what: str
    why: str

    def __str__(self) -> str:
        at = f"line {self.line}, " if self.line else ""
        return f"{at}{self.what}: {self.why}"


@dataclass(frozen=True)
class Imported:
    """The document of an `sl.config.yaml`, and notes on the rest, in the order of the file."""

    document: dict[str, Any]
    notes: tuple[Note, ...]


def imported_text(file: str, found: Imported) -> str:
    """Return the text of the new configuration; its head lists what was left out."""
    head = [f"Read from {file}. Look it over, then register its lenses: semilayer push"]
    if found.notes:
        head += ["", "What has no counterpart here:", *(f"- {note}" for note in found.notes)]
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head)
    return f"{comment}\n{yaml_text(found.document)}"


def why_none(notes: Iterable[Note]) -> str:
    """Return the first reasons why no lens was taken over, each a sentence after a blank."""
    return "".join(f" {note}." for note in islice(notes, _TOLD))


def fitting_lens(
    name: str, lens: dict[str, Any], line_of: Callable[[tuple[str, ...]], int | None]
) -> tuple[dict[str, Any] | None, list[Note]]:
    """Take out of a lens what its model refuses, key by key.

    `line_of` gives the line of a path. Returns the rest, `None` where nothing is left that makes a
    lens, and a note for each key.
    """
    kept, notes = dict(lens), list[Note]()
    while True:
        if not kept.get("fields"):
            why = "left out: no field of it is left"
            notes.append(Note(line_of(("lenses", name)), f"lenses.{name}", why))
            return None, notes
        try:
            LensConfig.model_validate(kept)
        except ValidationError as error:
            found = error.errors()[0]
        else:
            return kept, notes
        path = tuple(str(part) for part in path_of(found))
        why = sentence(found | {"loc": ("lenses", name, *found["loc"])})
        # What is taken out is the whole field, or the whole key.
        whole = ("lenses", name, *path[: 2 if path[:1] == ("fields",) else 1])
        notes.append(Note(line_of(whole), ".".join(whole), f"left out: {why}"))
        if not _taken_out(kept, path):
            return None, notes


def _taken_out(lens: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Remove a field, or a key of the lens; say whether it was there."""
    match path:
        case ("fields", field, *_) if field in lens.get("fields", {}):
            lens["fields"] = {k: v for k, v in lens["fields"].items() if k != field}
            return True
        case (key, *_) if key in lens and key not in {"source", "table", "fields"}:
            del lens[key]
            return True
        case _:
            return False


def in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return notes in the order of their lines, those without one last."""
    return tuple(sorted(notes, key=lambda note: (note.line is None, note.line or 0)))
