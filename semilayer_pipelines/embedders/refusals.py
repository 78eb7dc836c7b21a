"""What a refusal means, in a provider's own words: JSON with an `error`."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

__all__ = ["error_in", "is_unpaid", "tells_of_no_room"]

_LIMITED = 429
_NO_MONEY = ("insufficient_quota", "billing_not_active", "billing_hard_limit_reached")

_NO_ROOM = re.compile(r"token_limit_exceeded|enqueued", re.IGNORECASE)
"""OpenAI has a code for tokens. Of requests it says «Enqueued request limit reached»."""


def tells_of_no_room(error: object) -> bool:
    """Say whether an error, as a provider writes one, is that its account has too much queued."""
    return isinstance(error, dict) and any(
        _NO_ROOM.search(str(error.get(of))) for of in ("code", "message")
    )


def is_unpaid(status: int, body: bytes) -> bool:
    """Say whether a refusal is for want of money, whatever its status."""
    if status == _LIMITED and any(code.encode() in body for code in _NO_MONEY):
        return True  # a gateway wraps the provider's words in its own
    error = error_in(body)  # elsewhere these words may be those of a text that is refused
    return isinstance(error, dict) and any(error.get(of) in _NO_MONEY for of in ("code", "type"))


def error_in(body: bytes) -> Any:
    """Return the `error` of a refusal in JSON, `None` for anything else."""
    try:
        said = from_json(body)
    except ValueError:
        return None
    return said.get("error") if isinstance(said, dict) else None
