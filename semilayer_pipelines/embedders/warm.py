"""A sentence-transformers model that a service keeps warm, with the local model to fall back on.

The service is asked for the model by its fingerprint, which is the local model's: it either has the
very same vector space or refuses, request by request. So vectors of a run with the service and of
one without may stand side by side, and a replica with another model can never slip its own in.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from semilayer_pipelines.embedders.prompts import BuiltWith, OwnPrompts
from semilayer_pipelines.embedders.protocol import Embedded, PromptedEmbedder
from semilayer_pipelines.embedders.reading import Reading, Remembered, keep_told, kept_told
from semilayer_pipelines.embedders.served import (
    KEY_VARIABLE,
    PROMPT,
    URL_VARIABLE,
    ServedModels,
    ServiceAway,
    prompted,
)
from semilayer_pipelines.errors import EmbedderUnavailable, ModelUnavailable, ReadingUnknown

__all__ = ["SERVICE_REQUESTS", "WarmEmbedder"]

SERVICE_REQUESTS = 4
"""Requests of one run to the embedder service at a time: so many keep its model from waiting."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Chosen:
    """What embeds from now on: the service, with the prompts that it told of, or the local one."""

    remote: bool
    prompts: OwnPrompts | None = None


class WarmEmbedder:
    """Embeds with the service at `url`, or with `local` when nobody is there at the first text.

    Safe to share between threads. `fingerprint` is the local model's, and costs no import of torch.
    """

    def __init__(
        self,
        config: EmbeddingConfig,
        *,
        url: str,
        local: PromptedEmbedder,
        environ: Mapping[str, str],
        named: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._served = ServedModels(url, environ=environ, sleep=sleep, random=random)
        self._local = local
        self._environ = environ
        self._named = named
        # Nobody asked for one that was found by itself.
        self._told = logging.WARNING if named else logging.INFO
        self._choosing = threading.Lock()
        self._chosen: _Chosen | None = None
        self._remotes: dict[str | None, OpenAIEmbedder] = {}
        self._reading = Remembered(self._find_reading)

    @property
    def url(self) -> str:
        """The service's address, up to and with `/v1`."""
        return self._served.url

    @property
    def fingerprint(self) -> str:
        """Name the space; raise `ModelUnavailable` when the model is a path that does not exist."""
        return self._local.fingerprint

    @property
    def built(self) -> BuiltWith:
        """How an index is built, or was, whose vectors these are."""
        return self._local.built

    def own_prompts(self) -> OwnPrompts | None:
        """Return what the model brings; `None` while its files are neither here nor at the service.

        Raises nothing of the service: without an answer it knows none.
        """
        here = self._local.own_prompts()
        if here is not None:
            return here
        try:
            served = self._served.ask()
        except (ServiceAway, EmbedderUnavailable, ModelUnavailable):
            return None
        told = (one.prompts for one in served if one.fingerprint == self._local.space)
        return next(told, None)

    def reading(self) -> Reading | None:
        """Return how the model reads: as its files here tell, the service, or the hub.

        Raises what the protocol names.
        """
        return self._reading.get()

    def _find_reading(self) -> Reading | None:
        space = self._local.space
        here = self._local.reading_here() or kept_told(space)
        if here is not None:
            return here.reading
        away: EmbedderUnavailable | None = None
        try:
            told = self._served.reading(space)
            if told is not None:
                keep_told(space, told)
                return told.reading
        except ServiceAway as error:
            away = EmbedderUnavailable(
                f"The embedder at {self.url} does not answer ({error}), and how {space} reads "
                "texts is known nowhere else.",
                cure="Start the embedder; the run is tried again.",
            )
        except EmbedderUnavailable as error:
            away = error
        except ModelUnavailable:
            if self._named:
                raise
        try:
            return self._local.reading()
        except ReadingUnknown as error:
            # A text that could be cut later must not be written whole now.
            if away is not None and self._named:
                raise away from error
            raise

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts of rows; raises what the protocol names.

        The first call decides between the service and the local model, which is taken when nobody
        answers or the service has another one. It raises when something else answers at an address
        that a person named, or refuses the key.
        """
        if not texts:
            return self._nothing(texts)
        if not self._choice().remote:
            return self._local.embed(texts)
        return self._embed_there(self.built.passage_prompt, texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed texts that somebody searches by. Raises like `embed`."""
        if not texts:
            return self._nothing(texts)
        chosen = self._choice()
        if not chosen.remote:
            return self._local.embed_queries(texts)
        own = chosen.prompts or self._local.own_prompts() or OwnPrompts()
        return self._embed_there(self._local.query_prompt(own), texts, question=True)

    def _nothing(self, texts: Sequence[str]) -> Embedded:
        return embed_once(texts, self._local.embed, dimension=self._config.dimensions)

    def _choice(self) -> _Chosen:
        with self._choosing:
            if self._chosen is None:
                self._chosen = self._choose()
            return self._chosen

    def _embed_there(
        self, prompt: str | None, texts: Sequence[str], *, question: bool = False
    ) -> Embedded:
        remote = self._remote(prompt)
        try:
            return remote.embed_queries(texts) if question else remote.embed(texts)
        except ModelUnavailable as error:
            raise ModelUnavailable(
                error.message,
                cure=f"Every replica behind {URL_VARIABLE} needs the lens's model, this version "
                f"or a newer one, and the key in {KEY_VARIABLE} if there is one.",
            ) from error

    def _choose(self) -> _Chosen:
        space = self._local.space
        try:
            served = {one.fingerprint: one for one in self._served.ask()}
        except ServiceAway as away:
            return self._load_here(
                "The embedder at %s cannot be used (%s); the model is loaded here instead.",
                self.url,
                away,
            )
        except (EmbedderUnavailable, ModelUnavailable):
            if self._named:
                raise
            return _Chosen(remote=False)
        if space not in served:
            return self._load_here(
                "The embedder at %s serves %s; this lens needs %s, which is loaded here instead.",
                self.url,
                ", ".join(served) or "nothing",
                space,
            )
        prompts = served[space].prompts
        if prompts is None and self._needs_prompts():
            return self._load_here(
                "The embedder at %s is of an older version, which knows no prompts; %s is loaded "
                "here instead.",
                self.url,
                space,
            )
        logger.info("embedding with the service at %s", self.url)
        return _Chosen(remote=True, prompts=prompts)

    def _load_here(self, message: str, *arguments: object) -> _Chosen:
        logger.log(self._told, message, *arguments)
        return _Chosen(remote=False)

    def _needs_prompts(self) -> bool:
        own = self._local.own_prompts() or OwnPrompts()
        return self.built.passage_prompt is not None or bool(self._local.query_prompt(own))

    def _remote(self, prompt: str | None) -> OpenAIEmbedder:
        """Return the client for texts behind a prompt.

        Texts of neither side are asked for as they always were: any service gives the same vectors.
        """
        with self._choosing:
            if prompt not in self._remotes:
                space = self._local.space
                self._remotes[prompt] = OpenAIEmbedder(
                    EmbeddingConfig(
                        provider="openai",
                        model=space if prompt is None else prompted(space),
                        url=self.url,
                        api_key=f"${{{KEY_VARIABLE}}}" if self._served.key() else None,
                        dimensions=self._config.dimensions,
                        concurrency=SERVICE_REQUESTS,
                    ),
                    environ=self._environ,
                    fields={} if prompt is None else {PROMPT: prompt},
                    encoding="base64",
                )
            return self._remotes[prompt]
