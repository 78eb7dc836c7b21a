"""A sentence-transformers model that a service keeps warm, with the local model to fall back on.

The service is asked for the model by its fingerprint, which is the local model's: it either has the
very same vector space or refuses, request by request. So vectors of a run with the service and of
one without may stand side by side, and a replica with another model can never slip its own in.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.embedders.retry import wait_before_retry
from semilayer_pipelines.errors import ConfigError, EmbedderUnavailable, ModelUnavailable
from semilayer_pipelines.http.address import http_address
from semilayer_pipelines.http.deadline import within

__all__ = ["KEY_VARIABLE", "URL_VARIABLE", "WarmEmbedder"]

URL_VARIABLE = "SEMILAYER_EMBEDDER_URL"
KEY_VARIABLE = "SEMILAYER_EMBEDDER_KEY"

logger = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_ANSWER_S = 20.0
_LOADING_ATTEMPTS = (
    7  # about 20 s: longer than a model takes to load, shorter than a run's patience
)


class WarmEmbedder:
    """Embeds with the service at `url`, or with `local` when nobody is there at the first text.

    Safe to share between threads. `fingerprint` is the local model's, and costs no import of torch.
    """

    def __init__(
        self,
        config: EmbeddingConfig,
        *,
        url: str,
        local: Embedder,
        environ: Mapping[str, str],
        named: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._url = _base(url)
        self._local = local
        self._environ = environ
        self._named = named
        # Nobody asked for one that was found by itself.
        self._told = logging.WARNING if named else logging.INFO
        self._sleep = sleep
        self._random = random
        self._choosing = threading.Lock()
        self._chosen: Embedder | None = None

    @property
    def url(self) -> str:
        """The service's address, up to and with `/v1`."""
        return self._url

    @property
    def fingerprint(self) -> str:
        """Name the space; raise `ModelUnavailable` when the model is a path that does not exist."""
        return self._local.fingerprint

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts; raises what the protocol names.

        The first call decides between the service and the local model, which is taken when nobody
        answers or the service has another one. It raises when something else answers at an address
        that a person named, or refuses the key.
        """
        if not texts:
            return embed_once(texts, self._local.embed, dimension=self._config.dimensions)
        with self._choosing:
            if self._chosen is None:
                self._chosen = self._choose()
        if self._chosen is self._local:
            return self._local.embed(texts)
        try:
            return self._chosen.embed(texts)
        except ModelUnavailable as error:
            raise ModelUnavailable(
                error.message,
                cure=f"Every replica behind {URL_VARIABLE} needs the lens's model, and the key in "
                f"{KEY_VARIABLE} if there is one.",
            ) from error

    def _choose(self) -> Embedder:
        status, body = self._ask()
        if status is None or status >= 500 or status == 429:
            logger.log(
                self._told,
                "The embedder at %s cannot be used (%s); the model is loaded here instead.",
                self._url,
                body if status is None else f"HTTP {status}",
            )
            return self._local
        try:
            served = self._served(status, body)
        except (EmbedderUnavailable, ModelUnavailable):
            if self._named:
                raise
            return self._local
        if self.fingerprint not in served:
            logger.log(
                self._told,
                "The embedder at %s serves %s; this lens needs %s, which is loaded here instead.",
                self._url,
                ", ".join(served) or "nothing",
                self.fingerprint,
            )
            return self._local
        logger.info("embedding with the service at %s", self._url)
        return OpenAIEmbedder(
            EmbeddingConfig(
                provider="openai",
                model=self.fingerprint,
                url=self._url,
                api_key=f"${{{KEY_VARIABLE}}}" if KEY_VARIABLE in self._environ else None,
                dimensions=self._config.dimensions,
            ),
            environ=self._environ,
            encoding="base64",
            sleep=self._sleep,
            random=self._random,
        )

    def _ask(self) -> tuple[int | None, str]:
        """Return status and body of the list of models, or `None` and why there was no answer.

        A service whose model is still loading is given time; one that is not there is not.
        """
        import httpx

        key = self._environ.get(KEY_VARIABLE, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"{KEY_VARIABLE} holds characters that no key has.",
                cure="Copy the key again, without quotation marks or line breaks.",
            )
        with httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT_S,
            follow_redirects=False,
        ) as client:
            for failures in range(1, _LOADING_ATTEMPTS + 1):
                try:
                    response = within(
                        _ANSWER_S, lambda: client.get(f"{self._url}/models"), give_up=client.close
                    )
                except (httpx.RequestError, TimeoutError) as error:
                    return None, type(error).__name__
                if response.status_code != 503 or failures == _LOADING_ATTEMPTS:
                    break
                self._sleep(wait_before_retry(failures, None, self._random))
        return response.status_code, response.text

    def _served(self, status: int, body: str) -> list[str]:
        """Return the fingerprints of its models.

        Raises `EmbedderUnavailable` for what is no JSON, as a proxy or a captive portal answers,
        and `ModelUnavailable` for another service and when the key is refused.
        """
        if status in (401, 403):
            raise ModelUnavailable(
                f"The embedder at {self._url} refuses the key.",
                cure=f"Set {KEY_VARIABLE} to the key that the service was started with.",
            )
        entries = _entries(body) if status == 200 else None
        if entries is None and status == 200 and not _is_json(body):
            raise EmbedderUnavailable(
                f"Something else answers in place of the embedder at {self._url}.",
                cure=f"Check the network's proxy, and {URL_VARIABLE}; it is tried again.",
            )
        if entries is None:
            raise ModelUnavailable(
                f"{self._url} answers (HTTP {status}), but is no `semilayer embedder`.",
                cure=f"Correct {URL_VARIABLE}, or unset it to load the model here. Another "
                "OpenAI-compatible endpoint is configured as 'embedding.provider: openai'.",
            )
        return [str(entry.get("fingerprint")) for entry in entries]


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


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _entries(body: str) -> list[dict[str, Any]] | None:
    """Return the models that are listed, those without a fingerprint too; `None` for no list."""
    try:
        listed = json.loads(body)
    except ValueError:
        return None
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    return entries if any("fingerprint" in entry for entry in entries) else None
