"""Texts longer than an endpoint takes: telling them from other refusals, and cutting them.

How much a model reads is known to its server alone. So a call that is refused for its length is
parted until the text at fault is alone, and that text is halved until it is taken.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np

from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import EmbeddingRejected

__all__ = ["MAX_HALVINGS", "SHORT_CHARACTERS", "Shortening", "TooLong", "names_a_length"]

MAX_HALVINGS = 12
"""How often a text that an endpoint finds too long is halved before its row is set aside."""

SHORT_CHARACTERS = 200
"""A text of so few characters is too long for no model: a refusal of it has other reasons."""

_REFUSED = frozenset({400, 413, 422, 500})
_SIZE = r"(?:tokens?|length|characters|size|sequence|context|inputs?|texts?|items?|documents?)"
_BOUND = (
    r"(?:max\w*|limit\w*|exceed\w*|longer|larger|(?:less|fewer|more|greater) than|at most|too many"
    r"|(?:supports?|accepts?|takes?) (?:only )?up to)"
)
_LENGTH = re.compile(
    r"too[ _-](?:long|large|big|many[ _-]tokens)|context[ _-](?:length|window|size)|max_?length"
    rf"|{_BOUND}\b.{{0,80}}\b{_SIZE}\b|\b{_SIZE}\b.{{0,80}}\b{_BOUND}"
    r"|at most [0-9]+ requests can be in one batch",
    re.IGNORECASE | re.DOTALL,
)
_LOOKED_AT = 4_000


class TooLong(Exception):
    """An endpoint refused texts for their length; `reason` is in its words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def names_a_length(status: int, body: bytes) -> bool:
    """Say whether a refusal names the length of a text, or of all texts of the call.

    413 does by itself. Of the other statuses the words decide: there is no common code. Some
    servers answer 500, and OpenAI 429 to a request that is larger than the limit of a minute.
    """
    if status == 413:
        return True
    said = body[:_LOOKED_AT].decode(errors="replace")
    if status == 429:
        return "request too large" in said.lower()
    return status in _REFUSED and _LENGTH.search(said) is not None


class Shortening:
    """Embeds the texts of calls by `answer`, and cuts those that it finds too long.

    `answer` raises `TooLong` for a call with such a text, or with too many. `refused` is told of a
    call that is taken in parts: the largest part, and the reason.
    """

    def __init__(
        self,
        answer: Callable[[list[str]], Awaitable[Embedded]],
        refused: Callable[[Sequence[str], str], None],
    ) -> None:
        self._answer = answer
        self._refused = refused
        self._refuses_all = False

    async def embed(self, texts: list[str]) -> list[Embedded]:
        """Embed the texts, in their order, in one call or several; those cut are `truncated`.

        Raises `EmbeddingRejected` where cutting does not help, with the position of the text if it
        is known, and what `answer` raises.
        """
        try:
            return [await self._answered(texts)]
        except TooLong as refused:
            await self._require_that_cutting_helps(texts, refused.reason)
            parts = await self._parted(texts, 0)
            if not any(part.truncated.any() for part in parts):
                at, most = 0, list[str]()
                for part in parts:
                    here = texts[at : at + len(part.vectors)]
                    at, most = at + len(here), max(most, here, key=len)
                self._refused(most, refused.reason)
            return parts

    async def _answered(self, texts: list[str]) -> Embedded:
        made = await self._answer(texts)
        self._refuses_all = False
        return made

    async def _require_that_cutting_helps(self, texts: list[str], reason: str) -> None:
        """Try the beginning of the longest text: a broken endpoint refuses that as well."""
        longest = max(texts, key=len).strip()
        may_help = len(texts) > 1 or len(longest) > SHORT_CHARACTERS
        if may_help and not self._refuses_all:
            try:
                await self._answered([longest[:SHORT_CHARACTERS]])
                return
            except TooLong:
                self._refuses_all = True
        raise EmbeddingRejected(reason, positions=[0] if len(texts) == 1 else ())

    async def _parted(self, texts: list[str], start: int) -> list[Embedded]:
        """Embed texts that were refused together; `start` is the place of the first of them."""
        if len(texts) == 1:
            return [await self._cut(texts[0], start)]
        half = len(texts) // 2
        parts: list[Embedded] = []
        for part, at in ((texts[:half], start), (texts[half:], start + half)):
            try:
                parts.append(await self._answered(part))
            except TooLong:
                parts += await self._parted(part, at)
        return parts

    async def _cut(self, text: str, position: int) -> Embedded:
        shorter, reason = text.strip(), ""
        for _ in range(MAX_HALVINGS):
            shorter = shorter[: max(SHORT_CHARACTERS, len(shorter) // 2)]
            try:
                made = await self._answered([shorter])
            except TooLong as refused:
                reason = refused.reason
                if len(shorter) <= SHORT_CHARACTERS:
                    break
            else:
                return replace(made, truncated=np.ones(1, np.bool_))
        raise EmbeddingRejected(reason, positions=[position])
