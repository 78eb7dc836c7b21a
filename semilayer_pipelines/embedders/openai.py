"""Vectors from any OpenAI-compatible endpoint: `POST {url}/embeddings`.

The key is read from the environment when it is first needed and goes nowhere but into the request's
header: not into a message, a log or a `repr`. Redirects are not followed, because they would carry
the texts somewhere nobody configured.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, NoReturn
from urllib.parse import SplitResult

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.variables import filled
from semilayer_pipelines.embedders.answer import error_text, read_answer
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.prompts import (
    BuiltWith,
    OwnPrompts,
    built_now,
    fingerprint_of,
    query_prompt,
)
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.retry import GivenUp, MayPass, send
from semilayer_pipelines.embedders.side import Side
from semilayer_pipelines.embedders.too_long import Shortening, TooLong, names_a_length
from semilayer_pipelines.errors import (
    ConfigError,
    DimensionChanged,
    EmbedderUnavailable,
    EmbeddingRejected,
    ModelUnavailable,
)
from semilayer_pipelines.http.address import http_address
from semilayer_pipelines.http.deadline import within
from semilayer_pipelines.http.retry_after import retry_after

if TYPE_CHECKING:
    import httpx

__all__ = ["MAX_BATCH_CHARACTERS", "MAX_BATCH_TEXTS", "OpenAIEmbedder"]

MAX_BATCH_TEXTS = 128
"""Texts in one request to an OpenAI-compatible endpoint."""

MAX_BATCH_CHARACTERS = 100_000
"""Keeps a request under the 300,000 tokens that OpenAI takes, even at three tokens a character."""

ANSWER_S = 120.0
"""How long a whole answer may take; each wait for bytes of it is bounded by 60 s."""

_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_MAY_PASS = frozenset({408, 409, 425, 429})
_TEXTS_REFUSED = frozenset({400, 413, 422})
_NO_MONEY = b"insufficient_quota"


class OpenAIEmbedder:
    """Calls the endpoint in batches, one after another; safe to share between threads.

    `built` is how the index was built that the vectors are for. `encoding` asks for vectors in a
    form that is a quarter as long as numbers in JSON, and `fields` are sent with every request;
    give both only for an endpoint that is known to understand them.
    """

    def __init__(
        self,
        config: EmbeddingConfig,
        *,
        environ: Mapping[str, str],
        built: BuiltWith | None = None,
        encoding: Literal["base64"] | None = None,
        fields: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        url = config.url or ""
        if "${" not in url:
            _address(url)
        # As shown: a query may hold a secret, and so may a variable.
        self._endpoint = f"{url.partition('?')[0].rstrip('/')}/embeddings"
        self._config = config
        self._environ = environ
        self._encoding = encoding
        self._fields = fields or {}
        self._sleep = sleep
        self._random = random
        self._client: httpx.Client | None = None
        own = OwnPrompts()  # an endpoint brings none that we know of
        self.built = built or built_now(config.prompts, own)
        passages = Side(self.built.passage_prompt or "", config.request.passage)
        queries = Side(query_prompt(config.prompts, own, built) or "", config.request.query)
        self._sides = (passages, queries)
        self._passages, self._queries = (
            Shortening(partial(self._answer, side)) for side in self._sides
        )
        self._opening = threading.Lock()
        # The address is no part of the space: a model may move to another server and stay itself.
        revision = f"@{config.revision}" if config.revision else ""
        asked = f":{config.dimensions}" if config.dimensions else ""
        self.fingerprint = (
            fingerprint_of(f"openai:{config.model}{revision}{asked}", self.built.passage_prompt)
            + passages.mark
        )

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts of rows; `truncated` is false where the endpoint does not say.

        A text that the endpoint finds too long is cut, and `truncated` says so.
        Raises `ConfigError` when the key's variable is not set, and what the protocol names.
        """
        return self._embed_once(texts, self._passages)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed texts that somebody searches by. Raises like `embed`."""
        return self._embed_once(texts, self._queries)

    def reading(self) -> None:
        """Return that an endpoint does not tell how its model reads."""

    def _embed_once(self, texts: Sequence[str], side: Shortening) -> Embedded:
        return embed_once(texts, partial(self._embed, side), dimension=self._config.dimensions)

    def close(self) -> None:
        """Close the connections; a later `embed` opens new ones."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _embed(self, side: Shortening, texts: list[str]) -> Embedded:
        parts: list[Embedded] = []
        done = 0
        for batch in _batches(texts):
            try:
                parts += side.embed(batch)
            except EmbeddingRejected as error:
                raise EmbeddingRejected(
                    error.message,
                    cure=error.cure,
                    positions=[done + position for position in error.positions],
                ) from None
            done += len(batch)
        lengths = {part.vectors.shape[1] for part in parts}
        if len(lengths) > 1:
            raise DimensionChanged(
                f"{self._endpoint} changed the length of its vectors in the middle of a page: "
                f"{sorted(lengths)}.",
                cure="All vectors of a lens must come from one model; check the endpoint.",
            )
        return Embedded(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.truncated for part in parts]),
            _together([part.tokens for part in parts]),
            parts[0].by,
        )

    def _answer(self, side: Side, batch: list[str]) -> Embedded:
        return read_answer(self._post(side, batch), len(batch), self._endpoint)

    @cached_property
    def _url(self) -> str:
        """Where texts are posted to, with its variables filled in."""
        url = filled(self._config.url or "", self._environ, where="embedding: 'url'")
        return _address(url).geturl()

    def _post(self, side: Side, batch: list[str]) -> bytes:
        texts = [side.prompt + text for text in batch] if side.prompt else batch
        body = side.filled(self._environ)
        body |= {"model": self._config.model, "input": texts, **self._fields}
        if self._config.dimensions:
            body["dimensions"] = self._config.dimensions
        if self._encoding:
            body["encoding_format"] = self._encoding
        try:
            return send(partial(self._attempt, body), sleep=self._sleep, random=self._random)
        except GivenUp as failed:
            raise EmbedderUnavailable(
                f"{self._endpoint} did not embed {len(batch)} texts in {failed.attempts} attempts; "
                f"the last one: {failed.reason}",
                cure="Check that the endpoint is up and its rate limit fits, then run again.",
            ) from None

    def _attempt(self, body: dict[str, object]) -> bytes:
        """Send one request; raise `MayPass` when it may be sent again."""
        import httpx

        try:
            client = self._open()
            response = within(
                ANSWER_S, lambda: client.post(self._url, json=body), give_up=self.close
            )
        except TimeoutError as error:
            raise MayPass(str(error), late=True) from error
        except (httpx.RequestError, RuntimeError) as error:
            # A client that another thread gave up, and closed, says so by a RuntimeError.
            raise MayPass(self._clean(f"{type(error).__name__}: {error}")) from error
        if response.status_code == httpx.codes.OK:
            return response.content
        reason = self._refusal(response)
        asked = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
        raise MayPass(reason, asked)

    def _refusal(self, response: httpx.Response) -> str:
        """Return why this answer may pass; raise when it will not."""
        status = response.status_code
        said = self._clean(f"HTTP {status}: {error_text(response.content)}")
        if names_a_length(status, response.content):
            raise TooLong(f"{self._endpoint} refuses the texts: {said}")
        if status >= 500 or (status in _MAY_PASS and _NO_MONEY not in response.content):
            return said
        if status in _TEXTS_REFUSED:
            raise EmbeddingRejected(f"{self._endpoint} refuses the texts: {said}")
        self._refuse(status, said)

    def _refuse(self, status: int, said: str) -> NoReturn:
        match status:
            case 401 | 403:
                cure = (
                    f"Check the key in {self._config.api_key}."
                    if self._config.api_key
                    else "Set 'embedding.apiKey' to '${VAR}' and put the key into that variable."
                )
            case 402 | 429:
                cure = "Check the account's plan and billing."
            case 404:
                cure = f"Check 'embedding.url' and the model's name, {self._config.model!r}."
            case _:
                cure = "Check 'embedding.url': the address up to and without '/embeddings'."
        raise ModelUnavailable(f"{self._endpoint} refuses: {said}", cure=cure)

    def _open(self) -> httpx.Client:
        import httpx

        with self._opening:
            if self._client is None:
                key = self._key()
                self._client = httpx.Client(
                    headers={"Authorization": f"Bearer {key}"} if key else {},
                    timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
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

    def _clean(self, text: str) -> str:
        """Take the key out of what others wrote, and whatever else came from a variable."""
        secrets = [self._key(), *(s for side in self._sides for s in side.secrets(self._environ))]
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text


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


def _together(tokens: list[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    known = [part for part in tokens if part is not None]
    return np.concatenate(known) if len(known) == len(tokens) else None


def _batches(texts: list[str]) -> Iterator[list[str]]:
    """Cut the list so that no batch is too many texts or, unless alone, too many characters."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and (
            len(batch) == MAX_BATCH_TEXTS or characters + len(text) > MAX_BATCH_CHARACTERS
        ):
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch
