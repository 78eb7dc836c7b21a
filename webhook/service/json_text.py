"""JSON as it arrives, read strictly: what has two meanings is refused, not guessed.

Objects come out as tuples of (name, value) pairs and arrays as lists. That keeps a name that is
there twice, and costs no Python call for each of ten thousand objects.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from webhook.service.problems import bad_request

__all__ = ["CALL", "DEEPEST", "QUESTION", "Size", "parse", "plain"]

DEEPEST = 50
"""How deep the body of a call other than ingest may be nested."""


@dataclass(frozen=True)
class Size:
    """How much a body may hold, as far as its bytes tell: those in texts are counted too.

    `openers` are `[` and `{`; `marks` are commas and quotation marks.
    """

    openers: int
    marks: int


CALL = Size(openers=100_000, marks=1_000_000)
"""An ingest call: ten thousand changes with composite keys are a fifth of it."""

QUESTION = Size(openers=20_000, marks=200_000)
"""Any other call. Within it, reading takes hundredths of a second, and the loop waits for that."""


def parse(body: bytes, size: Size = CALL) -> Any:
    """Return the value; raises `Problem` for no JSON in UTF-8, or one of too many values."""
    openers = body.count(b"[") + body.count(b"{")
    if openers > size.openers or body.count(b",") + body.count(b'"') > size.marks:
        raise bad_request("The body holds too many values.", "Send less in a call.")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"The body is not UTF-8, from byte {error.start} on.") from None
    if not text.strip():
        raise bad_request("The body is empty.", "Send a JSON object.")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise bad_request(
            f"The body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise bad_request("The body is nested too deeply.") from None
    except ValueError:
        # A number with thousands of digits is all that is left.
        raise bad_request("The body holds a number that is too long.") from None


def plain(value: Any, at: str = "The body", depth: int = 0) -> Any:
    """Turn pairs into dicts, all the way down; for small values.

    Raises `Problem` for a name that an object has twice, with `at` saying where it is, and for
    values that are nested more than `DEEPEST` times.
    """
    if depth > DEEPEST:
        raise bad_request(f"The body is nested more than {DEEPEST} times.")
    match value:
        case tuple():
            found: dict[str, Any] = {}
            for name, inner in value:
                if name in found:
                    raise bad_request(f"{at} has {name[:80]!a} twice.")
                found[name] = plain(inner, ascii(name[:80]), depth + 1)
            return found
        case list():
            return [plain(inner, at, depth + 1) for inner in value]
        case _:
            return value


def _no_number(name: str) -> NoReturn:
    raise bad_request(f"The body holds {name}, which is not JSON.", "Use null or a number.")


# Kept, because `json.loads` would make one for every call.
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=_no_number)
