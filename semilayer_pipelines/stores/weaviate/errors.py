"""What Weaviate and its client say, as our errors; and which of it concerns one object alone.

The server answers most faults with the status UNKNOWN and a sentence, so this is the one place that
reads those sentences. Trouble of the store passes or needs a person; only what is known to be
neither is the object's fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from urllib.error import URLError

import grpc
import httpx
from weaviate.exceptions import (
    AuthenticationFailedError,
    InsufficientPermissionsError,
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
    WeaviateUnsupportedFeatureError,
)

from semilayer_pipelines.errors import (
    ConfigError,
    DimensionChanged,
    IndexDropped,
    NotFound,
    SemilayerError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from semilayer_pipelines.redaction import redact

__all__ = [
    "ROOM",
    "STARTING",
    "Answer",
    "AnswerTooLarge",
    "Fault",
    "NoTenant",
    "fault_of",
    "gone",
    "refused",
    "says_gone",
    "starting",
    "store_errors",
]

ROOM = "Give the server disk or memory: it then takes writes again by itself, and we try again."

STARTING = "the server is starting."

_FULL = re.compile(
    r"read-?only|not enough memory|no space left|disk.*(full|pressure)", re.IGNORECASE
)
_GONE = re.compile(
    r"could not find class|(class|collection)( \S+)? not found|not present in schema",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(r"forbidden|insufficient permission|unauthorized", re.IGNORECASE)
_TAKEN = re.compile(r"already exists", re.IGNORECASE)
# What a server says of the shards of every collection until it has read its schema.
_STARTING = re.compile(r"shards status for a non-existing index", re.IGNORECASE)
_NO_TENANT = re.compile(r"tenant not found", re.IGNORECASE)
_LENGTH = re.compile(
    r"vector lengths don't match|vector dimensions do not match|vector with length", re.IGNORECASE
)
_TOO_LARGE = re.compile(r"message larger than max", re.IGNORECASE)
_TROUBLE = re.compile(
    r"deadline|timeout|timed out|unavailable|connection|connect:|refused|broken pipe|reset by peer|"
    r"leader|raft|replica|quorum|shutdown|shutting down|not ready|too many requests|overload|"
    r"context canceled|EOF|try again|transport|tenant not (found|active)",
    re.IGNORECASE,
)
_NOT_ALLOWED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
_COMES_BACK = {502, 503, 504}
_WILL_NOT_PASS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}
_LONGEST = 400


class Fault(Enum):
    """What the error of one object says about the store."""

    TROUBLE = "trouble"
    FULL = "full"
    GONE = "gone"
    REFUSED = "refused"
    DIMENSION = "dimension"
    POISON = "poison"


class NoTenant(NotFound):
    """A collection has no such tenant: nothing was ever written for it, or a person removed it."""


class AnswerTooLarge(StoreRefused):
    """What was asked for at once is more than a message may hold; a smaller question passes."""


class Answer(Exception):
    """A gRPC call's status and sentence, out of reach of the client's own retries."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


def fault_of(text: str) -> Fault:
    """Tell whose fault an object's error is: the store's, or the object's own."""
    if _FULL.search(text):
        return Fault.FULL
    if _FORBIDDEN.search(text):
        return Fault.REFUSED
    if _LENGTH.search(text):
        return Fault.DIMENSION
    if says_gone(text):
        return Fault.GONE
    return Fault.TROUBLE if _TROUBLE.search(text) else Fault.POISON


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn what goes wrong inside into our errors; `doing` is the subject of the message.

    `StoreUnavailable` may pass, `StoreFull` (no room, read-only) passes when there is room, and
    `StoreRefused` (no permission, not understood) will not pass. `IndexDropped`, `DimensionChanged`
    and `ConfigError` (a name is taken) are what they say.
    """
    try:
        yield
    except SemilayerError:
        raise
    except Answer as answer:
        raise _of_grpc(doing, answer) from answer
    except (AuthenticationFailedError, InsufficientPermissionsError) as error:
        raise refused(doing, _said(error)) from error
    except UnexpectedStatusCodeError as error:
        raise _of_http(doing, error) from error
    except WeaviateUnsupportedFeatureError as error:
        raise StoreRefused(
            f"{doing}: {_said(error)}", cure="Upgrade the server to 1.32 or newer."
        ) from error
    except WeaviateStartUpError as error:
        if "not supported" in str(error):
            raise StoreRefused(
                f"{doing}: {_said(error)}", cure="Upgrade the server to 1.32 or newer."
            ) from error
        raise _away(doing, _cause(error)) from error
    except (
        WeaviateConnectionError,
        WeaviateTimeoutError,
        WeaviateGRPCUnavailableError,
        httpx.TransportError,
        URLError,
    ) as error:
        raise _away(doing, _cause(error)) from error
    except WeaviateBaseError as error:
        raise StoreRefused(f"{doing}: {_said(error)}") from error


def gone(index: str) -> IndexDropped:
    """Return the error for the use of an index that was dropped."""
    return _gone(f"the index {index} was dropped.")


def _gone(said: str) -> IndexDropped:
    return IndexDropped(
        said,
        cure="A rebuild may have replaced it: try again. If it is lost, `semilayer verify --heal` "
        "queues a rebuild.",
    )


def starting(doing: str) -> StoreUnavailable:
    """Return the error for a server that is up and cannot be asked yet."""
    return _away(doing, STARTING)


def says_gone(text: str) -> bool:
    """Say whether a server says that it has no such collection."""
    return _GONE.search(text) is not None


def refused(doing: str, said: str) -> StoreRefused:
    """Return the error for what the server does not let us do."""
    return StoreRefused(
        f"{doing}: {said}",
        cure="Check WEAVIATE_API_KEY or WEAVIATE_TOKEN, and the roles that docs/weaviate.md names.",
    )


def _of_grpc(doing: str, answer: Answer) -> SemilayerError:
    said = f"{answer.code.name}: {_short(answer.text)}"
    if answer.code in _NOT_ALLOWED or _FORBIDDEN.search(answer.text):
        return refused(doing, said)
    if _FULL.search(answer.text):
        return _full(doing, said)
    if _LENGTH.search(answer.text):
        return DimensionChanged(f"{doing}: {said}", cure="Rebuild the lens: its model changed.")
    if says_gone(answer.text):
        return _gone(f"{doing}: {said}")
    if _NO_TENANT.search(answer.text):
        return NoTenant(f"{doing}: {said}")
    if answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE.search(answer.text):
        return AnswerTooLarge(f"{doing}: {said}", cure=_LARGER)
    if answer.code in _WILL_NOT_PASS:
        return StoreRefused(f"{doing}: {said}")
    if answer.code is grpc.StatusCode.UNAVAILABLE:
        return _away(doing, said)
    return _unavailable(doing, said)


def _of_http(doing: str, error: UnexpectedStatusCodeError) -> SemilayerError:
    said = _said(error)
    match error.status_code:
        case 401 | 403:
            return refused(doing, said)
        case _ if _FULL.search(said):
            return _full(doing, said)
        case _ if _NO_TENANT.search(said):
            return NoTenant(f"{doing}: {said}")
        case _ if _TAKEN.search(said):
            return ConfigError(
                f"{doing}: {said}",
                cure="Set a WEAVIATE_PREFIX for this project, or remove what has that name.",
            )
        case status if status in _COMES_BACK or _STARTING.search(said):
            return _away(doing, said)
        case 408 | 429:
            return _unavailable(doing, said)
        case status if status >= 500:
            return _unavailable(doing, said)
        case _:
            return StoreRefused(f"{doing}: {said}")


_LARGER = "Give the server a larger GRPC_MAX_MESSAGE_SIZE."
_REACH = "Check that the server runs and can be reached; then try again."


def _unavailable(doing: str, said: str) -> StoreUnavailable:
    return StoreUnavailable(f"{doing}: {said}", cure=_REACH)


def _away(doing: str, said: str) -> StoreUnavailable:
    error = _unavailable(doing, said)
    error.away = True
    return error


def _full(doing: str, said: str) -> StoreFull:
    return StoreFull(f"{doing}: {said}", cure=ROOM)


def _cause(error: BaseException) -> str:
    """Return what the network said: the client's own sentence leaves that out."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"no answer ({_short(str(error) or type(error).__name__)})."


def _said(error: Exception) -> str:
    return _short(str(getattr(error, "message", "") or error or type(error).__name__))


def _short(text: str) -> str:
    line = " ".join(redact(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
