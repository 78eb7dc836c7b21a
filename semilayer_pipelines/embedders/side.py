"""What goes along with texts to an endpoint: a prompt before each, and fields of the request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import xxhash
from pydantic import JsonValue

from semilayer_pipelines.config.variables import filled, variables

__all__ = ["Side"]


@dataclass(frozen=True)
class Side:
    """One side: texts of rows, or texts that somebody searches by.

    The variables in its fields are filled in when they are sent.
    """

    prompt: str
    fields: Mapping[str, JsonValue]

    @property
    def mark(self) -> str:
        """What the fields add to a fingerprint, as they are written; nothing without any."""
        if not self.fields:
            return ""
        written = json.dumps(self.fields, sort_keys=True, separators=(",", ":"))
        return f":request-{xxhash.xxh3_64_hexdigest(written.encode())}"

    def filled(self, environ: Mapping[str, str]) -> dict[str, object]:
        """Return the fields to send; raise `ConfigError` for a variable that is not set."""
        return {name: _filled(value, environ) for name, value in self.fields.items()}

    def secrets(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield what variables put into the fields."""
        for text in _texts(self.fields):
            yield from variables(text, environ)


def _fill(text: str, environ: Mapping[str, str]) -> str:
    return filled(text, environ, where="embedding: 'request'")


def _filled(value: JsonValue, environ: Mapping[str, str]) -> object:
    match value:
        case str():
            return _fill(value, environ)
        case dict():
            return {name: _filled(item, environ) for name, item in value.items()}
        case list():
            return [_filled(item, environ) for item in value]
        case _:
            return value


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
