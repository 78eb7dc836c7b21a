"""How a service ends a call that went wrong: always with a response, in the service's own shape.

The two services word their problems differently, so each hands in how an error becomes one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.http.bodies import BodyRefused

__all__ = ["Endpoint", "Problem", "guarded", "problem_response", "routing_response"]

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


class Problem(Protocol):
    """What a service sends instead of a result; its body is JSON."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that go with it."""

    def body(self) -> bytes:
        """Return the error object, as JSON."""


def guarded(
    endpoint: Endpoint, from_error: Callable[[Exception], Problem], *, name: str
) -> Endpoint:
    """Return an endpoint that raises nothing; `name` is what the log calls it.

    Only a bug or a driver's error is logged: everything else is the caller's to know.
    """

    async def guard(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            problem = from_error(error)
            if not isinstance(error, (type(problem), BodyRefused, SemilayerError)):
                logger.exception("%s failed", name)
            return problem_response(problem)

    return guard


def problem_response(problem: Problem) -> Response:
    """Return a problem as it is sent."""
    return Response(
        problem.body(), problem.status, headers=problem.headers, media_type="application/json"
    )


def routing_response(error: HTTPException, problem: Problem) -> Response:
    """Return the problem that tells of an unknown address or method, with Starlette's headers."""
    response = problem_response(problem)
    response.headers.update(error.headers or {})
    return response
