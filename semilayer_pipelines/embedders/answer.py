"""Reading what an OpenAI-compatible endpoint answers: a body in, vectors in the order of the texts.

Anything that leaves open which vector belongs to which text is refused, never guessed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import (
    DimensionChanged,
    EmbedderUnavailable,
    EmbeddingRejected,
    ModelUnavailable,
)

__all__ = ["error_text", "read_answer"]

_MAX_ERROR_TEXT = 300
_USAGE = ("prompt_tokens", "total_tokens", "input_tokens")


def read_answer(
    body: bytes, count: int, endpoint: str, clean: Callable[[str], str] = str
) -> Embedded:
    """Return the vectors of `count` texts, and which of them were cut where the endpoint says so.

    Vectors may be lists of numbers or base64 of little-endian float32, in any order when they carry
    an `index`. `semilayer embedder` adds `truncated`, a boolean for each text in the order of the
    texts; without it none counts as cut. It also adds `tokens`, a number for each text, and `by`,
    what computed the vectors. Others tell in `usage` what they charge for: it is divided evenly
    among the texts, so that the sum is right. `endpoint` is only named in messages; `clean` takes
    secrets out of what these quote.

    Raises `EmbedderUnavailable` for what is no JSON, as a proxy or a captive portal answers,
    `ModelUnavailable` when this is no embedding answer, `EmbeddingRejected` when vectors are
    missing, doubled or unreadable, and `DimensionChanged` when their lengths differ.
    """
    answer = _parsed(body)
    if answer is None:
        raise EmbedderUnavailable(
            f"Something else answers in place of {endpoint}: {error_text(body, clean)!r}.",
            cure="Check the network's proxy, and 'embedding.url'; it is tried again.",
        )
    items = _items(answer)
    if items is None:
        raise ModelUnavailable(
            f"{endpoint} answered, but not with embeddings: {error_text(body, clean)!r}.",
            cure="Check 'embedding.url': the address up to and without '/embeddings'.",
        )
    if len(items) != count:
        raise EmbeddingRejected(
            f"{endpoint} answered with {len(items)} vectors for {count} texts.",
        )
    rows = [_row(item, endpoint) for item in items]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise DimensionChanged(
            f"{endpoint} gives vectors of different lengths: {sorted(lengths)}.",
            cure="All vectors of a lens must come from one model; check the endpoint.",
        )
    vectors = np.empty((count, lengths.pop() if lengths else 0), dtype=np.float32)
    vectors[_places(items, count, endpoint)] = rows
    return Embedded(
        vectors,
        _truncated(answer, count),
        _tokens(answer, count),
        Backend.of_json(answer.get("by")),
    )


def error_text(body: bytes, clean: Callable[[str], str] = str) -> str:
    """Return the endpoint's own words about an error, on one line, cut to 300 characters.

    `clean` takes secrets out of them: before they are cut, as half of a secret is not found.
    """
    text = body.decode(errors="replace")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, list) and said:
        said = said[0]  # as Gemini does
    if isinstance(said, dict):
        inner = said.get("error", said)
        if isinstance(inner, dict):
            inner = inner.get("message", inner.get("detail", inner))
        text = str(inner)
    line = clean(" ".join(text.split()))
    return line if len(line) <= _MAX_ERROR_TEXT else f"{line[:_MAX_ERROR_TEXT]}…"


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        # Many times as fast as the standard library's, and most of an answer is numbers.
        answer = from_json(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else {}


def _truncated(answer: dict[str, Any], count: int) -> NDArray[np.bool_]:
    said = answer.get("truncated")
    if isinstance(said, list) and len(said) == count and all(type(cut) is bool for cut in said):
        return np.array(said, np.bool_)
    return np.zeros(count, np.bool_)


def _tokens(answer: dict[str, Any], count: int) -> NDArray[np.int64] | None:
    said = answer.get("tokens")
    if isinstance(said, list) and len(said) == count and all(map(_is_number, said)):
        return np.array(said, np.int64)
    usage = answer.get("usage")
    named = usage if isinstance(usage, dict) else {}
    total = next((named[name] for name in _USAGE if _is_number(named.get(name))), None)
    if total is None or not count:
        return None
    shares: NDArray[np.int64] = np.diff(np.arange(count + 1, dtype=np.int64) * total // count)
    return shares


def _is_number(said: object) -> bool:
    return type(said) is int and 0 <= said < 2**31


def _items(answer: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return what an answer has for each text, `None` where it is no embedding answer."""
    items = answer.get("data")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    return items


def _row(item: dict[str, Any], endpoint: str) -> NDArray[np.float32]:
    value = item.get("embedding")
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        row = np.array(value, dtype=np.float32)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        row = None
    if row is None or row.ndim != 1:
        raise EmbeddingRejected(
            f"{endpoint} gave a vector that is neither a list of numbers nor base64 of float32."
        )
    return row


def _places(items: list[dict[str, Any]], count: int, endpoint: str) -> list[int]:
    places = [item.get("index") for item in items]
    if all(place is None for place in places):
        return list(range(count))
    if places.count(None) == 1 and 0 not in places:
        places[places.index(None)] = 0  # Gemini leaves that number out, as protobuf does
    named = [place for place in places if type(place) is int]
    if sorted(named) != list(range(count)):
        raise EmbeddingRejected(
            f"{endpoint} gave vectors whose 'index' does not name each text once."
        )
    return named
