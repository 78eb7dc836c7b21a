"""One request over HTTP, blocking or not; the only place that knows the key.

It never retries and never raises for the network: a failure becomes a `NoResponse`. The key is
taken out of failures and responses. Redirects are not followed, because they would carry the key
somewhere nobody configured.
"""

from __future__ import annotations

import httpx

from semilayer_pipelines.client.exchange import NoResponse
from semilayer_pipelines.client.responses import Response
from semilayer_pipelines.client.service import Request, check_key

__all__ = ["AsyncTransport", "Transport"]

_CONNECT_TIMEOUT_S = 10.0


class Transport:
    """Blocking; safe to share between threads."""

    def __init__(self, key: str, timeout: float) -> None:
        self._key = check_key(key)
        self._timeout = timeout
        self._http = httpx.Client(headers=_headers(self._key), follow_redirects=False)

    def send(self, request: Request) -> Response | NoResponse:
        """Send one request and read the whole response."""
        try:
            response = self._http.request(
                request.method,
                request.url,
                content=request.body or None,
                timeout=_timeouts(request, self._timeout),
            )
        except (httpx.TransportError, httpx.DecodingError) as error:
            return _no_response(error, self._key)
        return _response(response, self._key)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """The same for tasks of one event loop."""

    def __init__(self, key: str, timeout: float) -> None:
        self._key = check_key(key)
        self._timeout = timeout
        self._http = httpx.AsyncClient(headers=_headers(self._key), follow_redirects=False)

    async def send(self, request: Request) -> Response | NoResponse:
        """Send one request and read the whole response."""
        try:
            response = await self._http.request(
                request.method,
                request.url,
                content=request.body or None,
                timeout=_timeouts(request, self._timeout),
            )
        except (httpx.TransportError, httpx.DecodingError) as error:
            return _no_response(error, self._key)
        return _response(response, self._key)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def _timeouts(request: Request, timeout: float) -> httpx.Timeout:
    return httpx.Timeout(timeout + request.patience, connect=min(_CONNECT_TIMEOUT_S, timeout))


def _response(response: httpx.Response, key: str) -> Response:
    content = response.content.replace(key.encode(), b"***")
    return Response(response.status_code, content, response.headers.get("retry-after"))


def _no_response(error: Exception, key: str) -> NoResponse:
    return NoResponse(f"{type(error).__name__}: {error}".replace(key, "***"))
