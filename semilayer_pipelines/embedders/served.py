"""What a `semilayer embedder` serves, as it says itself, and how a model is asked for there.

A text behind a prompt is asked for under a name that services from before there were prompts do not
know: they would leave the prompt out without a word.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from semilayer_pipelines.embedders.prompts import OwnPrompts
from semilayer_pipelines.embedders.reading import MAX_READING_BYTES, Told
from semilayer_pipelines.embedders.retry import wait_before_retry
from semilayer_pipelines.errors import ConfigError, EmbedderUnavailable, ModelUnavailable
from semilayer_pipelines.http.address import http_address
from semilayer_pipelines.http.deadline import within

if TYPE_CHECKING:
    import httpx

__all__ = [
    "KEY_VARIABLE",
    "PROMPT",
    "RERANKER",
    "URL_VARIABLE",
    "ServedModels",
    "ServiceAway",
    "Serving",
    "prompted",
]

URL_VARIABLE = "SEMILAYER_EMBEDDER_URL"
KEY_VARIABLE = "SEMILAYER_EMBEDDER_KEY"

PROMPT = "prompt"
"""The field of a request with what goes before each of its texts."""

RERANKER = "reranker"
"""The key in the list of models that tells a reranker from a model of vectors."""

_TIMEOUT_S = 10.0
_ANSWER_S = 20.0
_READING_S = 120.0  # a tokenizer may have 35 MB
_LIST_BYTES = 1 << 20
_LOADING_ATTEMPTS = (
    7  # about 20 s: longer than a model takes to load, shorter than a run's patience
)


class ServiceAway(Exception):
    """Nobody answers at the address, or somebody who cannot just now; the text says which."""


@dataclass(frozen=True)
class Serving:
    """One model of a service; `prompts` is `None` where the service knows none."""

    fingerprint: str
    prompts: OwnPrompts | None
    reranker: bool = False


def prompted(space: str) -> str:
    """Return the name under which a model is asked for texts behind a prompt."""
    return f"{space}+prompt"


class ServedModels:
    """Asks the service at an address what it serves."""

    def __init__(
        self,
        url: str,
        *,
        environ: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.url = _base(url)
        self._environ = environ
        self._sleep = sleep
        self._random = random

    def ask(self) -> list[Serving]:
        """Return its models.

        Raises `ServiceAway` when nobody answers, `EmbedderUnavailable` for what is no JSON, as a
        proxy or a captive portal answers, `ModelUnavailable` for another service and when the key
        is refused, and `ConfigError` for a key that cannot be one.
        """
        status, body = self._get("models", most=_LIST_BYTES, seconds=_ANSWER_S)
        entries = _entries(body) if status == 200 else None
        if entries is None and status == 200 and not _is_json(body):
            raise self._something_else()
        if entries is None:
            raise ModelUnavailable(
                f"{self.url} answers (HTTP {status}), but is no `semilayer embedder`.",
                cure=f"Correct {URL_VARIABLE}, or unset it to load the model here. Another "
                "OpenAI-compatible endpoint is configured as 'embedding.provider: openai'.",
            )
        return [
            Serving(
                str(entry.get("fingerprint")),
                OwnPrompts.of_json(entry.get("prompts")),
                entry.get(RERANKER) is True,
            )
            for entry in entries
        ]

    def reading(self, space: str) -> Told | None:
        """Return how its model of a space reads; `None` from a service that does not tell.

        An older one does not, and neither does one with another model. Raises like `ask`, but for
        `ModelUnavailable` for another service.
        """
        status, body = self._get(
            f"reading?{urlencode({'model': space})}", most=MAX_READING_BYTES, seconds=_READING_S
        )
        if status != 200:
            return None
        try:
            return Told.of_json(json.loads(body), space)
        except ValueError:
            raise self._something_else() from None

    def _something_else(self) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            f"Something else answers in place of the embedder at {self.url}.",
            cure=f"Check the network's proxy, and {URL_VARIABLE}; it is tried again.",
        )

    def key(self) -> str:
        """Return the service's key, empty where nobody gave one; raise `ConfigError` like `ask`."""
        key = self._environ.get(KEY_VARIABLE, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"{KEY_VARIABLE} holds characters that no key has.",
                cure="Copy the key again, without quotation marks or line breaks.",
            )
        return key

    def headers(self) -> dict[str, str]:
        """Return what shows the service its key, if there is one."""
        key = self.key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def clean(self, text: str) -> str:
        """Take the key out of what others wrote."""
        key = self.key()
        return text.replace(key, "***") if key else text

    def _get(self, path: str, *, most: int, seconds: float) -> tuple[int, bytes]:
        """Return status and body of an answer; of `most` bytes, or empty.

        A service whose model is still loading is given time; one that is not there is not. Raises
        `ServiceAway` without an answer, `ModelUnavailable` when the key is refused.
        """
        import httpx

        with httpx.Client(
            headers=self.headers(), timeout=_TIMEOUT_S, follow_redirects=False
        ) as client:
            for failures in range(1, _LOADING_ATTEMPTS + 1):
                try:
                    status, body = within(
                        seconds,
                        lambda: _answer(client, f"{self.url}/{path}", most),
                        give_up=client.close,
                    )
                except (httpx.RequestError, TimeoutError) as error:
                    raise ServiceAway(type(error).__name__) from error
                if status != 503 or failures == _LOADING_ATTEMPTS:
                    break
                self._sleep(wait_before_retry(failures, None, self._random))
        if status >= 500 or status == 429:
            raise ServiceAway(f"HTTP {status}")
        if status in (401, 403):
            raise ModelUnavailable(
                f"The embedder at {self.url} refuses the key.",
                cure=f"Set {KEY_VARIABLE} to the key that the service was started with.",
            )
        return status, body


def _answer(client: httpx.Client, url: str, most: int) -> tuple[int, bytes]:
    """Return status and body, which is empty when it has more than `most` bytes."""
    body = bytearray()
    with client.stream("GET", url) as response:
        for part in response.iter_bytes():
            body += part
            if len(body) > most:
                return response.status_code, b""
    return response.status_code, bytes(body)


def _base(url: str) -> str:
    """Return the address up to and with `/v1`; raise `ConfigError` for others, unquoted."""
    parts = http_address(url.strip())
    if parts is None or parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"{URL_VARIABLE} is not the address of an embedder.",
            cure=f"Write it like http://localhost:8100; a key goes into {KEY_VARIABLE}.",
        )
    path = parts.path.rstrip("/").removesuffix("/v1")
    return parts._replace(path=f"{path}/v1").geturl()


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _entries(body: bytes) -> list[dict[str, Any]] | None:
    """Return the models that are listed, those without a fingerprint too; `None` for no list."""
    try:
        listed = json.loads(body)
    except ValueError:
        return None
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    return entries if any("fingerprint" in entry for entry in entries) else None
