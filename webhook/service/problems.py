"""Every way in which a call can end badly, in one shape: `{"error": {"code", "message", …}}`.

A message says what is wrong and what to do; it never holds a key, a password or a traceback.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum

from semilayer_pipelines.control.accept import KeyRefused, RateLimited
from semilayer_pipelines.errors import (
    IndexDropped,
    NotFound,
    Refused,
    RegistryUnavailable,
    SemilayerError,
    Transient,
    UserError,
)
from semilayer_pipelines.http.bodies import BodyFault, BodyLimits, BodyRefused
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry.api_key import hide_keys

__all__ = ["MB", "Code", "Problem", "bad_request", "from_error", "registry_away"]


class Code(Enum):
    """The codes, each with its HTTP status."""

    BAD_REQUEST = ("bad_request", 400)
    TOO_MANY_CHANGES = ("too_many_changes", 400)
    INVALID_ACTION = ("invalid_action", 400)
    UNAUTHORIZED = ("unauthorized", 401)
    FORBIDDEN = ("forbidden", 403)
    NOT_FOUND = ("not_found", 404)
    LENS_NOT_FOUND = ("lens_not_found", 404)
    JOB_NOT_FOUND = ("job_not_found", 404)
    ROW_NOT_FOUND = ("row_not_found", 404)
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405)
    TIMEOUT = ("timeout", 408)
    REFUSED = ("refused", 409)
    BODY_TOO_LARGE = ("body_too_large", 413)
    UNSUPPORTED_MEDIA_TYPE = ("unsupported_media_type", 415)
    RATE_LIMITED = ("rate_limited", 429)
    INTERNAL = ("internal", 500)
    FAILED = ("failed", 500)
    UNAVAILABLE = ("unavailable", 503)

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status


RETRY_AFTER_S = 1
"""Seconds that a caller is asked to wait before it retries."""

MB = 1_000_000
"""How the length of a body is told."""


@dataclass
class Problem(Exception):
    """What is sent instead of the result."""

    code: Code
    message: str
    cure: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.code.status

    def body(self) -> bytes:
        """Return the error object, as JSON."""
        # A caller may have sent a key in the wrong place, which is then quoted to him.
        error = {"code": self.code.word, "message": hide_keys(self.message)}
        if self.cure:
            error["cure"] = hide_keys(self.cure)
        # Escaped: a message may quote half of a surrogate pair, which UTF-8 cannot hold.
        return json.dumps({"error": error}).encode()


def bad_request(message: str, cure: str = "") -> Problem:
    """Say that the call itself has to change."""
    return Problem(Code.BAD_REQUEST, message, cure)


def from_error(error: Exception) -> Problem:
    """Return the problem that an error becomes; a bug tells the caller nothing."""
    match error:
        case Problem():
            return error
        case BodyRefused():
            return _body_refused(error.fault, error.limits)
        case KeyRefused():
            headers = {"www-authenticate": "Bearer"}
            return Problem(Code.UNAUTHORIZED, error.message, _KEY_CURE, headers)
        case RateLimited():
            headers = {
                "retry-after": str(error.retry_after),
                "x-ratelimit-limit": str(error.limit),
                "x-ratelimit-remaining": "0",
            }
            return _of(Code.RATE_LIMITED, error, headers)
        case IndexDropped():
            # While it was asked: the next call meets what is there now.
            return _of(Code.UNAVAILABLE, error, {"retry-after": str(RETRY_AFTER_S)})
        case NotFound():
            return _of(Code.LENS_NOT_FOUND, error)
        case UserError():
            return _of(Code.BAD_REQUEST, error)
        case Refused():
            return _of(Code.REFUSED, error)
        case RegistryUnavailable():
            # Its message names host and user, which are no caller's business.
            return registry_away()
        case Transient():
            return _of(Code.UNAVAILABLE, error, {"retry-after": str(RETRY_AFTER_S)})
        case SemilayerError():
            return _of(Code.FAILED, error)
        case _:
            return Problem(Code.INTERNAL, "The service failed.", "Its log says why; try again.")


def registry_away() -> Problem:
    """Say that calls cannot be looked up or kept just now, and nothing of where they would be."""
    return Problem(
        Code.UNAVAILABLE,
        "The service's registry does not answer.",
        "Try again; the service's log says more.",
        {"retry-after": str(RETRY_AFTER_S)},
    )


def _body_refused(fault: BodyFault, limits: BodyLimits) -> Problem:
    match fault:
        case BodyFault.TOO_LONG:
            return Problem(
                Code.BODY_TOO_LARGE,
                f"The body is longer than {limits.one / MB:g} MB.",
                "Send fewer changes a call.",
            )
        case BodyFault.NO_ROOM:
            return Problem(
                Code.UNAVAILABLE,
                "Too many large bodies are arriving at once.",
                "Try again.",
                {"retry-after": str(RETRY_AFTER_S)},
            )
        case BodyFault.TOO_SLOW:
            return Problem(
                Code.TIMEOUT,
                f"The body did not arrive within {limits.seconds:.0f} s.",
                "Send less at once, or try again.",
            )
        case BodyFault.HUNG_UP:
            # Nobody reads this response; the status is for the metrics.
            return Problem(Code.TIMEOUT, "The caller hung up.")


_KEY_CURE = (
    "Send 'Authorization: Bearer ik_…', with a key of "
    "`semilayer keys create --type ingest --name my-worker`."
)


def _of(code: Code, error: SemilayerError, headers: dict[str, str] | None = None) -> Problem:
    message = f"Lens {error.lens!r}: {error.message}" if error.lens else error.message
    return Problem(code, redact(message), redact(error.cure), headers or {})
