"""What a server says, in the very words of a real one, and what we make of it."""

from __future__ import annotations

import grpc
import httpx
import pytest
from weaviate.exceptions import UnexpectedStatusCodeError

from semilayer_pipelines.errors import (
    ConfigError,
    IndexDropped,
    SemilayerError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from semilayer_pipelines.stores.weaviate.errors import (
    Answer,
    AnswerTooLarge,
    Fault,
    NoTenant,
    fault_of,
    store_errors,
)

Code = grpc.StatusCode


def made_of(error: Exception) -> SemilayerError:
    with pytest.raises(SemilayerError) as made, store_errors("asking"):
        raise error
    return made.value


def http(status: int, said: str) -> UnexpectedStatusCodeError:
    answer = httpx.Response(status, json={"error": [{"message": said}]})
    return UnexpectedStatusCodeError("it failed", answer)


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (Code.UNKNOWN, "could not get tenants: class not found", IndexDropped),
        (Code.UNKNOWN, "could not find class Development_items in schema", IndexDropped),
        (Code.UNKNOWN, "class Development_items not found", IndexDropped),
        (Code.UNKNOWN, 'tenant not found: "acme"', NoTenant),
        (Code.UNKNOWN, "rbac: authorization, forbidden action: user 'x' has …", StoreRefused),
        (Code.PERMISSION_DENIED, "parse params: rbac: authorization, forbidden", StoreRefused),
        (Code.UNKNOWN, "store is read-only due to: resource pressure", StoreFull),
        (Code.UNKNOWN, "leader not found", StoreUnavailable),
        (
            Code.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (104858001 vs. 104858000)",
            AnswerTooLarge,
        ),
        (
            Code.RESOURCE_EXHAUSTED,
            "grpc: trying to send message larger than max (104858001 vs. 104858000)",
            AnswerTooLarge,
        ),
        (Code.RESOURCE_EXHAUSTED, "too many requests", StoreUnavailable),
    ],
)
def test_a_sentence_over_grpc_is_told_apart(code: Code, said: str, kind: type[Exception]) -> None:
    assert type(made_of(Answer(code, said))) is kind


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (500, "create alias: class Development_items already exists", ConfigError),
        (422, 'class name "A" already exists as "a"', ConfigError),
        (500, "store is read-only due to: resource pressure", StoreFull),
        (500, "leader not found", StoreUnavailable),
        (422, "sq is not supported for flat", StoreRefused),
        (403, "rbac: authorization, forbidden action", StoreRefused),
    ],
)
def test_a_sentence_over_http_is_told_apart(status: int, said: str, kind: type[Exception]) -> None:
    assert type(made_of(http(status, said))) is kind


@pytest.mark.parametrize(
    "error",
    [
        Answer(Code.UNAVAILABLE, "failed to connect to all addresses"),
        http(503, ""),
        http(404, "cannot get shards status for a non-existing index: Development_items"),
        httpx.ReadTimeout("timed out"),
    ],
)
def test_what_a_restart_says_is_known_as_such(error: Exception) -> None:
    made = made_of(error)
    assert isinstance(made, StoreUnavailable)
    assert made.away


@pytest.mark.parametrize(
    "error",
    [
        Answer(Code.UNKNOWN, "leader not found"),
        Answer(Code.DEADLINE_EXCEEDED, "late"),
        http(500, ""),
    ],
)
def test_other_trouble_is_no_restart(error: Exception) -> None:
    made = made_of(error)
    assert isinstance(made, StoreUnavailable)
    assert not made.away


def test_a_full_server_is_said_to_come_back_by_itself() -> None:
    full = made_of(Answer(Code.UNKNOWN, "store is read-only due to: resource pressure"))
    assert "READY" not in full.cure
    assert "by itself" in full.cure


def test_a_permission_that_objects_are_refused_for_is_no_fault_of_theirs() -> None:
    said = "rbac: authorization, forbidden action: user 'x' has insufficient permissions to …"
    assert fault_of(said) is Fault.REFUSED
    assert fault_of("invalid text property 'forbiddance'") is Fault.POISON
