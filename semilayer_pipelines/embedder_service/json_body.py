"""The body of a request as JSON, before anything is known of what it asks for."""

from __future__ import annotations

import json
from typing import Any

from semilayer_pipelines.embedder_service.problems import bad_request

__all__ = ["json_object"]


def json_object(body: bytes) -> dict[str, Any]:
    """Return the fields of a body; raise `Problem` when it is no JSON object."""
    try:
        fields = json.loads(body)
    # Also nesting that is deeper than the parser goes.
    except (ValueError, RecursionError):
        raise bad_request("The body is not JSON.", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise bad_request("The body is not a JSON object.", code="invalid_json")
    return fields
