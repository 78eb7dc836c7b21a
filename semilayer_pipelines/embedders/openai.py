"""Vectors from any OpenAI-compatible endpoint: `POST {url}/embeddings`.

Requests of a call run side by side; its vectors come back in the order of its texts.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.answer import read_answer
from semilayer_pipelines.embedders.batch_api import BatchApi
from semilayer_pipelines.embedders.batches import Batches
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.endpoint import Endpoint
from semilayer_pipelines.embedders.event_loop import run
from semilayer_pipelines.embedders.prompts import (
    BuiltWith,
    OwnPrompts,
    built_now,
    fingerprint_of,
    query_prompt,
)
from semilayer_pipelines.embedders.protocol import Embedded, PartlyEmbedded
from semilayer_pipelines.embedders.providers import takes
from semilayer_pipelines.embedders.side import Side
from semilayer_pipelines.embedders.too_long import Shortening
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected

__all__ = ["OpenAIEmbedder"]

_NUMBERS, _FLOATS = "output_dtype", "float"  # as Voyage and Mistral name them

_Done = list[Embedded] | EmbeddingRejected | None


@dataclass(frozen=True)
class _Way:
    """How texts of one side go; a `question` goes before texts of rows."""

    shortening: Shortening
    question: bool


class OpenAIEmbedder:
    """Calls the endpoint with several requests at a time; safe to share between threads.

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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        own = OwnPrompts()  # an endpoint brings none that we know of
        self.built = built or built_now(config.prompts, own)
        passages = Side(self.built.passage_prompt or "", config.request.passage)
        queries = Side(query_prompt(config.prompts, own, built) or "", config.request.query)
        most = takes(config)
        self._config = config
        self._environ = environ
        self._encoding = encoding or ("base64" if most.base64 else None)
        self._fields = fields or {}
        self._batches = Batches(most)
        self._endpoint = Endpoint(
            config,
            environ=environ,
            secrets=lambda: [s for side in (passages, queries) for s in side.secrets(environ)],
            sleep=sleep,
            random=random,
            clock=clock,
        )
        self._rows = passages
        self._passages = self._way(passages, question=False)
        self._queries = self._way(queries, question=True)
        # The address is no part of the space: a model may move to another server and stay itself.
        revision = f"@{config.revision}" if config.revision else ""
        asked = f":{config.dimensions}" if config.dimensions else ""
        self.fingerprint = (
            fingerprint_of(f"openai:{config.model}{revision}{asked}", self.built.passage_prompt)
            + passages.mark
        )

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts of rows; `truncated` is false where the endpoint does not say.

        A text that the endpoint finds too long is cut, and `truncated` says so. Raises
        `ConfigError` when the key's variable is not set, `PartlyEmbedded` when some texts are
        refused, and what the protocol names.
        """
        return self._embed_once(texts, self._passages)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed texts that somebody searches by, before those of rows. Raises like `embed`."""
        return self._embed_once(texts, self._queries)

    def reading(self) -> None:
        """Return that an endpoint does not tell how its model reads."""

    @cached_property
    def batches(self) -> BatchApi | None:
        """How texts of rows are embedded by files; `None` where the lens does not ask for that."""
        if not self._config.batch:
            return None
        side = self._rows
        return BatchApi(self._endpoint, lambda text: self._body(side, [side.prompt + text]))

    def close(self) -> None:
        """Close the connections; a later `embed` opens new ones."""
        run(self._endpoint.close())

    def _way(self, side: Side, *, question: bool) -> _Way:
        answer = partial(self._answer, side, question)
        return _Way(Shortening(answer, self._batches.refused), question)

    def _embed_once(self, texts: Sequence[str], way: _Way) -> Embedded:
        def embed(distinct: list[str]) -> Embedded:
            return run(self._embed(way, distinct))

        return embed_once(texts, embed, dimension=self._config.dimensions)

    async def _embed(self, way: _Way, texts: list[str]) -> Embedded:
        batches = [*self._batches.cut(texts, spread=self._spread())]
        done: list[_Done] = [None] * len(batches)
        refused = taken = 0

        async def embed(number: int, batch: list[str]) -> None:
            nonlocal refused, taken
            if way.question:
                done[number] = await self._parts(way, batch)
                return
            async with self._endpoint.pace.place(self._config.concurrency):
                if refused > taken:
                    return  # the endpoint may be broken: whoever called finds that out
                try:
                    done[number] = await self._parts(way, batch)
                    taken += 1
                except EmbeddingRejected as error:
                    done[number] = error
                    refused += 1

        await _all(embed(number, batch) for number, batch in enumerate(batches))
        return self._together(batches, done)

    async def _parts(self, way: _Way, batch: list[str]) -> list[Embedded]:
        """Embed a batch, in several requests where it was cut before a refusal taught better."""
        parts: list[Embedded] = []
        done = 0
        for part in self._batches.cut(batch, spread=1):
            try:
                parts += await way.shortening.embed(part)
            except EmbeddingRejected as error:
                positions = [done + position for position in error.positions]
                raise EmbeddingRejected(
                    error.message, cure=error.cure, positions=positions
                ) from None
            done += len(part)
        return parts

    def _spread(self) -> int:
        """Return over how many requests texts are spread: as many as may begin within a second."""
        limit = self._config.requests_per_minute
        most = self._config.concurrency
        return most if limit is None else max(1, min(most, limit // 60))

    def _body(self, side: Side, texts: Sequence[str]) -> dict[str, object]:
        body = side.filled(self._environ)
        body |= {"model": self._config.model, "input": texts, **self._fields}
        if self._config.dimensions:
            body["dimensions"] = self._config.dimensions
        # Of other numbers than float32 the bytes would be taken for these.
        if self._encoding and side.fields.get(_NUMBERS, _FLOATS) == _FLOATS:
            body["encoding_format"] = self._encoding
        return body

    async def _answer(self, side: Side, question: bool, batch: list[str]) -> Embedded:
        texts = [side.prompt + text for text in batch] if side.prompt else batch
        body = self._body(side, texts)
        answer, ticket = await self._endpoint.post(
            body, texts=len(batch), tokens=self._batches.tokens(texts), question=question
        )
        # Not on the loop: an answer may have megabytes of numbers.
        made = await asyncio.to_thread(
            read_answer, answer, len(batch), self._endpoint.shown, self._endpoint.clean
        )
        charged = 0 if made.tokens is None else int(made.tokens.sum())
        if charged:  # some endpoints say 0 of whatever they read
            self._batches.charged(texts, charged)
            self._endpoint.pace.charged(ticket, charged)
        return made

    def _together(self, batches: list[list[str]], done: list[_Done]) -> Embedded:
        """Put the answers together, in the order of the texts; raise for texts that have none."""
        parts: list[Embedded] = []
        kept: list[int] = []
        positions: list[int] = []
        refusal: EmbeddingRejected | None = None
        at = 0
        for batch, made in zip(batches, done, strict=True):
            if isinstance(made, EmbeddingRejected):
                refusal = refusal or made
                positions += [at + position for position in made.positions]
            elif made is not None:
                parts += made
                kept += range(at, at + len(batch))
            at += len(batch)
        lengths = {part.vectors.shape[1] for part in parts}
        if len(lengths) > 1:
            raise DimensionChanged(
                f"{self._endpoint.shown} changed the length of its vectors in the middle of a "
                f"page: {sorted(lengths)}.",
                cure="All vectors of a lens must come from one model; check the endpoint.",
            )
        if refusal is not None and not parts:
            raise EmbeddingRejected(refusal.message, cure=refusal.cure, positions=positions)
        together = Embedded(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.truncated for part in parts]),
            _concatenated([part.tokens for part in parts]),
            parts[0].by,
        )
        if refusal is not None:
            raise PartlyEmbedded(refusal, positions=positions, kept=kept, made=together)
        return together


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it side by side; when one raises, end the others and raise that."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _concatenated(tokens: list[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    known = [part for part in tokens if part is not None]
    return np.concatenate(known) if len(known) == len(tokens) else None
