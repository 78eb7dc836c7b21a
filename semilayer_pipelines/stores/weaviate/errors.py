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
    DimensionChanged,
    NotFound,
    SemilayerError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from semilayer_pipelines.redaction import redact

__all__ = ["Answer", "Fault", "NoTenant", "fault_of", "gone", "store_errors"]

_FULL = re.compile(
    r"read-?only|not enough memory|no space left|disk.*(full|pressure)", re.IGNORECASE
)
_GONE = re.compile(r"could not find class|(class|collection) \S+ not found", re.IGNORECASE)
_NO_TENANT = re.compile(r"tenant not found", re.IGNORECASE)
_LENGTH = re.compile(
    r"vector lengths don't match|vector dimensions do not match|vector with length", re.IGNORECASE
)
_TROUBLE = re.compile(
    r"deadline|timeout|timed out|unavailable|connection|connect:|refused|broken pipe|reset by peer|"
    r"leader|raft|replica|quorum|shutdown|shutting down|not ready|too many requests|overload|"
    r"context canceled|EOF|try again|transport|tenant not (found|active)",
    re.IGNORECASE,
)
_NOT_ALLOWED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
_WILL_NOT_PASS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}
_LONGEST = 400


class Fault(Enum):
    """What the error of one object says about the store."""

    TROUBLE = "trouble"
    FULL = "full"
    GONE = "gone"
    DIMENSION = "dimension"
    POISON = "poison"


class NoTenant(NotFound):
    """A collection has no such tenant: nothing was ever written for it, or a person removed it."""


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
    if _LENGTH.search(text):
        return Fault.DIMENSION
    if _GONE.search(text):
        return Fault.GONE
    return Fault.TROUBLE if _TROUBLE.search(text) else Fault.POISON


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn what goes wrong inside into our errors; `doing` is the subject of the message.

    `StoreUnavailable` may pass, `StoreFull` (no room, read-only) and `StoreRefused` (no permission,
    not understood) will not; `NotFound` and `DimensionChanged` are what they say.
    """
    try:
        yield
    except SemilayerError:
        raise
    except Answer as answer:
        raise _of_grpc(doing, answer) from answer
    except (AuthenticationFailedError, InsufficientPermissionsError) as error:
        raise _refused(doing, _said(error)) from error
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
        raise _unavailable(doing, _cause(error)) from error
    except (
        WeaviateConnectionError,
        WeaviateTimeoutError,
        WeaviateGRPCUnavailableError,
        httpx.TransportError,
        URLError,
    ) as error:
        raise _unavailable(doing, _cause(error)) from error
    except WeaviateBaseError as error:
        raise StoreRefused(f"{doing}: {_said(error)}") from error


def gone(index: str) -> NotFound:
    """Return the error for the use of an index that was dropped."""
    return NotFound(f"the index {index} was dropped.", cure="Open the lens's active generation.")


def _of_grpc(doing: str, answer: Answer) -> SemilayerError:
    said = f"{answer.code.name}: {_short(answer.text)}"
    if answer.code in _NOT_ALLOWED:
        return _refused(doing, said)
    if _FULL.search(answer.text):
        return _full(doing, said)
    if _LENGTH.search(answer.text):
        return DimensionChanged(f"{doing}: {said}", cure="Rebuild the lens: its model changed.")
    if _GONE.search(answer.text):
        return NotFound(f"{doing}: {said}", cure="Open the lens's active generation.")
    if _NO_TENANT.search(answer.text):
        return NoTenant(f"{doing}: {said}")
    if answer.code in _WILL_NOT_PASS:
        return StoreRefused(f"{doing}: {said}")
    return _unavailable(doing, said)


def _of_http(doing: str, error: UnexpectedStatusCodeError) -> SemilayerError:
    said = _said(error)
    match error.status_code:
        case 401 | 403:
            return _refused(doing, said)
        case _ if _FULL.search(said):
            return _full(doing, said)
        case 408 | 429:
            return _unavailable(doing, said)
        case status if status >= 500:
            return _unavailable(doing, said)
        case _:
            return StoreRefused(f"{doing}: {said}")


def _unavailable(doing: str, said: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"{doing}: {said}", cure="Check that the server runs and can be reached; then try again."
    )


def _full(doing: str, said: str) -> StoreFull:
    return StoreFull(
        f"{doing}: {said}",
        cure="Give the server room (disk, memory) and set its shards to READY, then run it again.",
    )


def _refused(doing: str, said: str) -> StoreRefused:
    return StoreRefused(
        f"{doing}: {said}", cure="Check WEAVIATE_API_KEY or WEAVIATE_TOKEN, and its permissions."
    )


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
