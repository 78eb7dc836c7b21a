"""One OpenAI-compatible endpoint: its address, its key, and what its refusals mean.

The key is read from the environment when it is first needed and goes nowhere but into the request's
header: not into a message, a log or a `repr`. Redirects are not followed, because they would carry
the texts somewhere nobody configured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import IO, TYPE_CHECKING, Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import xxhash

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.variables import filled, variables
from semilayer_pipelines.embedders.answer import error_text
from semilayer_pipelines.embedders.minute import Minute, minute_file
from semilayer_pipelines.embedders.pace import Pace, Ticket
from semilayer_pipelines.embedders.rate_headers import seconds_of
from semilayer_pipelines.embedders.refusals import error_in, is_unpaid, tells_of_no_room
from semilayer_pipelines.embedders.retry import GivenUp, MayPass, send_async
from semilayer_pipelines.embedders.too_long import TooLong, names_a_length
from semilayer_pipelines.errors import (
    ConfigError,
    EmbedderUnavailable,
    EmbeddingRejected,
    ModelUnavailable,
)
from semilayer_pipelines.http.address import http_address
from semilayer_pipelines.http.retry_after import retry_after
from semilayer_pipelines.http.unlogged import unlogged

if TYPE_CHECKING:
    import httpx

__all__ = ["ANSWER_S", "FILE_S", "Endpoint", "NoRoom", "forget_paces"]

ANSWER_S = 120.0
"""How long a whole answer may take; each wait for bytes of it is bounded by 60 s."""

FILE_S = 1_800.0
"""How long a file of texts or vectors may take on its way; each wait is bounded by 60 s."""

_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_UNPAID = 402
_LIMITED = 429
_MAY_PASS = frozenset({408, 409, 425, _LIMITED})
_TEXTS_REFUSED = frozenset({400, 413, 422})
_FILTERED = frozenset({403, 406})
"""Firewalls answer so, with a page, to a text that looks like an attack to them."""

_paces: dict[str, Pace] = {}


class NoRoom(EmbedderUnavailable):
    """An order was not taken: the account has as much queued as it may, or ordered too often."""


class Endpoint:
    """Posts bodies to an endpoint, at its pace. Used on one event loop."""

    def __init__(
        self,
        config: EmbeddingConfig,
        *,
        environ: Mapping[str, str],
        secrets: Callable[[], Iterable[str]],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raise `ConfigError` for an address that is none; `secrets` are not to be shown either."""
        url = config.url or ""
        if "${" not in url:
            _address(url)
        # As shown: a query may hold a secret, and so may a variable.
        self.shown = f"{url.partition('?')[0].rstrip('/')}/embeddings"
        # What a variable holds may be a secret in any part of the address.
        self._quietly = _unlogged if "${" in url else nullcontext
        self._config = config
        self._environ = environ
        self._secrets = secrets
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._client: httpx.AsyncClient | None = None

    @cached_property
    def pace(self) -> Pace:
        """How fast it may be asked: one for all that ask for the same model with the same key."""
        config = self._config
        of = (self._url.partition("?")[0], config.model, config.api_key)
        name = xxhash.xxh3_64_hexdigest(repr(of).encode())
        limits = (config.requests_per_minute, config.tokens_per_minute)
        if name not in _paces:
            shared = minute_file(name) if any(limits) else None
            minute = Minute(shared, self._clock)
            _paces[name] = Pace(minute=minute, clock=self._clock, sleep=self._sleep)
        _paces[name].lower(*limits)
        return _paces[name]

    async def post(
        self, body: Mapping[str, object], *, texts: int, tokens: int, question: bool
    ) -> tuple[bytes, Ticket]:
        """Return the body of the answer, and what was counted for it.

        Sends again what may pass. Raises `TooLong`, `EmbeddingRejected`, `ModelUnavailable`,
        `EmbedderUnavailable` when it is given up, and `ConfigError` for the key.
        """
        try:
            return await send_async(
                partial(self._attempt, body, tokens, question),
                sleep=self._sleep,
                random=self._random,
            )
        except GivenUp as failed:
            raise EmbedderUnavailable(
                f"{self.shown} did not embed {texts} texts in {failed.attempts} attempts; "
                f"the last one: {failed.reason}",
                cure="Check that the endpoint is up and its rate limit fits, then run again.",
            ) from None

    async def call(
        self,
        method: str,
        path: str,
        *,
        once: bool = False,
        any_404: bool = False,
        into: IO[bytes] | None = None,
        **sent: Any,
    ) -> bytes | None:
        """Return what the endpoint answers at `path`, beside its embeddings; `None` for a 404.

        A 404 counts where the provider itself says it, in JSON with an `error`; `any_404` counts
        whoever says it.

        Sends again what may pass, unless it must happen `once`. A long answer is written `into` a
        file, from its beginning. `sent` is httpx's. Raises `ModelUnavailable` for a refusal,
        `NoRoom` for what must happen once and is not taken now, `EmbedderUnavailable` when it is
        given up, and `ConfigError` for the key.
        """
        attempt = partial(self._called, method, path, into, sent, any_404=any_404)
        try:
            if once:
                return await attempt()
            return await send_async(attempt, sleep=self._sleep, random=self._random)
        except (GivenUp, MayPass) as failed:
            not_taken = isinstance(failed, MayPass) and failed.limited
            raise (NoRoom if not_taken else EmbedderUnavailable)(
                f"{self._beside(path)} did not answer as it should: {failed.reason}",
                cure="Check that the endpoint is up; it is tried again.",
            ) from None

    def _beside(self, path: str) -> str:
        return f"{self.shown.removesuffix('/embeddings')}{path}"

    async def _called(
        self,
        method: str,
        path: str,
        into: IO[bytes] | None,
        sent: Mapping[str, Any],
        *,
        any_404: bool,
    ) -> bytes | None:
        import httpx

        address = urlsplit(self._url)
        base = address.path.removesuffix("/embeddings")
        url = address._replace(path=base + path).geturl()
        try:
            async with (
                asyncio.timeout(FILE_S),
                self._quietly(),
                self._open().stream(method, url, **sent) as response,
            ):
                if into is None or response.status_code != httpx.codes.OK:
                    await response.aread()
                else:
                    into.seek(0)
                    into.truncate()
                    async for part in response.aiter_bytes():
                        into.write(part)
        except TimeoutError as error:
            raise MayPass(f"no whole answer within {FILE_S:g} s", late=True) from error
        except httpx.RequestError as error:
            raise MayPass(self.clean(f"{type(error).__name__}: {error}")) from error
        if response.is_success:
            return b"" if into is not None else response.content
        status, body = response.status_code, response.content
        said = f"HTTP {status}: {error_text(body, self.clean)}"
        if status == httpx.codes.NOT_FOUND:
            # A provider's own words are JSON with an `error`.
            if any_404 or error_in(body) is not None:
                return None
            # A gateway in front of it, for one.
            raise MayPass(said)
        if is_unpaid(status, body):
            self._refuse(_UNPAID, said, at=self._beside(path))
        limited = status == _LIMITED or tells_of_no_room(error_in(body))
        if limited or status >= 500 or status in _MAY_PASS:
            raise MayPass(said, _asked(response.headers), limited=limited)
        self._refuse(status, said, at=self._beside(path))

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @cached_property
    def _url(self) -> str:
        """Where texts are posted to, with its variables filled in."""
        url = filled(self._config.url or "", self._environ, where="embedding: 'url'")
        return _address(url).geturl()

    async def _attempt(
        self, body: Mapping[str, object], tokens: int, question: bool
    ) -> tuple[bytes, Ticket]:
        """Send one request; raise `MayPass` when it may be sent again."""
        import httpx

        client = self._open()
        ticket = await self.pace.pass_(tokens, question=question)
        try:
            async with asyncio.timeout(ANSWER_S), self._quietly():
                response = await client.post(self._url, json=body)
        except TimeoutError as error:
            self.pace.refused(ticket, {}, None)
            raise MayPass(f"no whole answer within {ANSWER_S:g} s", late=True) from error
        except httpx.RequestError as error:
            self.pace.refused(ticket, {}, None)
            raise MayPass(self.clean(f"{type(error).__name__}: {error}")) from error
        except BaseException:
            self.pace.lost(ticket)
            raise
        if response.status_code == httpx.codes.OK:
            self.pace.answered(ticket, response.headers)
            return response.content, ticket
        raise self._failed(response, ticket)

    def _failed(self, response: httpx.Response, ticket: Ticket) -> MayPass:
        """Return what may pass; raise what will not."""
        asked = _asked(response.headers)
        try:
            reason = self._refusal(response)
        except EmbeddingRejected:
            self.pace.doubted(ticket)
            raise
        except BaseException:
            self.pace.lost(ticket)
            raise
        self.pace.refused(ticket, response.headers, asked)
        return MayPass(reason, asked, limited=response.status_code == _LIMITED)

    def _refusal(self, response: httpx.Response) -> str:
        """Return why this answer may pass; raise when it will not."""
        status = response.status_code
        said = f"HTTP {status}: {error_text(response.content, self.clean)}"
        if names_a_length(status, response.content):
            raise TooLong(f"{self.shown} refuses the texts: {said}")
        if is_unpaid(status, response.content):
            self._refuse(_UNPAID, said)
        if status >= 500 or status in _MAY_PASS:
            return said
        if status in _FILTERED and response.content.lstrip().startswith(b"<"):
            raise EmbeddingRejected(
                f"Something in front of {self.shown} refuses the texts: {said}",
                cure="Ask who runs the firewall or proxy there about texts such as this one.",
            )
        if status in _TEXTS_REFUSED:
            raise EmbeddingRejected(f"{self.shown} refuses the texts: {said}")
        self._refuse(status, said)

    def _refuse(self, status: int, said: str, at: str | None = None) -> NoReturn:
        match status:
            case 401 | 403:
                cure = (
                    f"Check the key in {self._config.api_key}."
                    if self._config.api_key
                    else "Set 'embedding.apiKey' to '${VAR}' and put the key into that variable."
                )
            case 402:
                cure = "Check the account's plan and billing."
            case 404:
                cure = f"Check 'embedding.url' and the model's name, {self._config.model!r}."
            case _:
                cure = "Check 'embedding.url': the address up to and without '/embeddings'."
        raise ModelUnavailable(f"{at or self.shown} refuses: {said}", cure=cure)

    def _open(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
            key = self._key()
            self._client = httpx.AsyncClient(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S, pool=None),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                follow_redirects=False,
            )
        return self._client

    def _key(self) -> str | None:
        if self._config.api_key is None:
            return None
        name = self._config.api_key.removeprefix("${").removesuffix("}")
        key = self._environ.get(name, "").strip()
        if not key:
            raise ConfigError(
                f"embedding: 'apiKey' names the environment variable {name}, which is not set.",
                cure=f"Set {name}, or remove 'apiKey' when the endpoint needs none.",
            )
        # Refused here because the HTTP library's own complaint would quote the whole header.
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"embedding: the environment variable {name} holds characters that no key has.",
                cure="Copy the key again, without quotation marks or line breaks.",
            )
        return key

    def clean(self, text: str) -> str:
        """Take the key out of what others wrote, and whatever else came from a variable."""
        of_url = variables(self._config.url or "", self._environ)
        secrets = {self._key() or "", *self._secrets(), *of_url} - {""}
        # One may be the beginning of another.
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def forget_paces() -> None:
    """Begin anew with every endpoint, as a new process does."""
    _paces.clear()


@asynccontextmanager
async def _unlogged() -> AsyncIterator[None]:
    with unlogged():
        yield


def _asked(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds an endpoint asks to wait; OpenAI and Azure tell milliseconds."""
    milliseconds = seconds_of(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    return retry_after(headers.get("retry-after"), datetime.now(UTC))


def _address(url: str) -> SplitResult:
    """Return the address to post to; raise `ConfigError`, without quoting it, for an unusable one.

    A password in it is refused: addresses are stored in the registry and logged by HTTP libraries.
    """
    address = http_address(url)
    if address is None:
        raise ConfigError(
            "embedding: 'url' is not the address of an endpoint.",
            cure="Write it in full, like https://api.openai.com/v1 or http://localhost:8000/v1.",
        )
    if address.username or address.password:
        raise ConfigError(
            "embedding: 'url' holds a user name or a password.",
            cure="Take it out and give the key as 'apiKey: ${VAR}'.",
        )
    return address._replace(path=f"{address.path.rstrip('/')}/embeddings", fragment="")
