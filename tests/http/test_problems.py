"""A call that goes wrong gets a response in the service's shape; only the unforeseen is logged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from semilayer_pipelines.embedder_service import problems as embedder
from semilayer_pipelines.errors import NotFound, SourceUnreachable
from semilayer_pipelines.http.bodies import BodyFault, BodyLimits, BodyRefused
from semilayer_pipelines.http.problems import Problem, guarded, routing_response
from webhook.service import problems as webhook

FromError = Callable[[Exception], Problem]
SERVICES = pytest.mark.parametrize("from_error", [webhook.from_error, embedder.from_error])
REQUEST = Request({"type": "http", "method": "POST", "path": "/v1/x", "headers": []})


def called(error: Exception, from_error: FromError) -> Response:
    """Call an endpoint that raises this."""

    async def endpoint(request: Request) -> Response:
        raise error

    async def call() -> Response:
        return await guarded(endpoint, from_error, name="POST /v1/x")(REQUEST)

    return asyncio.run(call())


@SERVICES
@pytest.mark.parametrize(
    "error",
    [
        NotFound("There is no lens 'x'."),
        SourceUnreachable("The source does not answer."),
        BodyRefused(BodyFault.TOO_LONG, BodyLimits(one=1, all=1)),
    ],
)
def test_what_a_caller_may_meet_is_a_response_and_no_log_line(
    error: Exception, from_error: FromError, caplog: pytest.LogCaptureFixture
) -> None:
    response = called(error, from_error)

    assert response.status_code == from_error(error).status
    assert response.body == from_error(error).body()
    assert response.media_type == "application/json"
    assert caplog.records == []


def test_a_problem_that_was_raised_is_sent_with_its_headers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    busy = embedder.busy("The queue is full.", 7)
    forbidden = webhook.Problem(webhook.Code.FORBIDDEN, "No.", "Ask.", {"x-why": "key"})

    assert called(busy, embedder.from_error).headers["retry-after"] == "7"
    assert called(forbidden, webhook.from_error).headers["x-why"] == "key"
    assert caplog.records == []


@SERVICES
def test_a_bug_tells_the_caller_nothing_and_the_log_everything(
    from_error: FromError, caplog: pytest.LogCaptureFixture
) -> None:
    response = called(ZeroDivisionError("s3cret"), from_error)

    assert response.status_code == 500
    assert b"s3cret" not in response.body
    (record,) = caplog.records
    assert record.getMessage() == "POST /v1/x failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_an_unknown_method_keeps_the_header_that_names_the_right_ones() -> None:
    refused = HTTPException(405, headers={"Allow": "GET"})
    problem = webhook.Problem(webhook.Code.METHOD_NOT_ALLOWED, "No.")

    response = routing_response(refused, problem)

    assert (response.status_code, response.headers["allow"]) == (405, "GET")
