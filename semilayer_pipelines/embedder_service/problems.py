"""Every way in which a request can end badly, in the shape OpenAI gives its errors.

A message may name positions of texts and never quotes a text, a key or a traceback.
"""

from __future__ import annotations

import json

from semilayer_pipelines.errors import EmbeddingRejected, SemilayerError, Transient, UserError
from semilayer_pipelines.http.bodies import BodyFault, BodyLimits, BodyRefused
from semilayer_pipelines.redaction import redact

__all__ = [
    "MIB",
    "Problem",
    "bad_request",
    "busy",
    "from_error",
    "hung_up",
    "no_such_model",
    "not_ready",
    "unauthorised",
]


MIB = 1 << 20
"""How the length of a body is told."""


class Problem(Exception):
    """What is sent instead of vectors."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str,
        code: str,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers

    def body(self) -> bytes:
        """Return the error object, as JSON."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return json.dumps({"error": error}).encode()


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_value") -> Problem:
    """Say that the request itself has to change."""
    return Problem(400, message, kind="invalid_request_error", param=param, code=code)


def no_such_model(wanted: str, served: str) -> Problem:
    """Say that another model answers here."""
    return Problem(
        404,
        f"The model {wanted!r} is not served here; {served!r} is.",
        kind="invalid_request_error",
        param="model",
        code="model_not_found",
    )


def unauthorised() -> Problem:
    """Say that the key is missing or wrong, without saying which."""
    return Problem(
        401,
        "Give the service's key as 'Authorization: Bearer …'.",
        kind="invalid_request_error",
        code="invalid_api_key",
    )


def busy(message: str, retry_after: int) -> Problem:
    """Say that there is no room just now; `retry_after` is in seconds."""
    return Problem(
        429, message, kind="rate_limit_error", code="queue_full", retry_after=retry_after
    )


def hung_up() -> Problem:
    """Say that nobody reads this response; the status is for the metrics."""
    return Problem(499, "The caller hung up.", kind="invalid_request_error", code="gone")


def not_ready(message: str, retry_after: int = 1) -> Problem:
    """Say that the model is not there, yet or any more."""
    return Problem(503, message, kind="server_error", code="not_ready", retry_after=retry_after)


def from_error(error: BaseException) -> Problem:
    """Return the problem that an error becomes."""
    match error:
        case Problem():
            return error
        case BodyRefused():
            return _body_refused(error.fault, error.limits)
        case EmbeddingRejected():
            return bad_request(redact(str(error)), param="input", code="text_rejected")
        case UserError():
            return bad_request(redact(str(error)), code="prompt_rejected")
        case Transient():
            return not_ready(redact(str(error)))
        case SemilayerError():
            return Problem(500, redact(str(error)), kind="server_error", code="model_failed")
        case _:
            return Problem(
                500,
                "The service failed; its log says why.",
                kind="server_error",
                code="internal_error",
            )


def _body_refused(fault: BodyFault, limits: BodyLimits) -> Problem:
    match fault:
        case BodyFault.TOO_LONG:
            return Problem(
                413,
                f"The body is longer than {limits.one / MIB:g} MiB; send fewer texts at once.",
                kind="invalid_request_error",
                code="body_too_large",
            )
        case BodyFault.NO_ROOM:
            return busy("Too many large requests are arriving at once.", 1)
        case BodyFault.TOO_SLOW:
            return Problem(
                408,
                f"The body did not arrive within {limits.seconds:.0f} s.",
                kind="invalid_request_error",
                code="timeout",
            )
        case BodyFault.HUNG_UP:
            return hung_up()
