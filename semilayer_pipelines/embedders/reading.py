"""How a model reads a text: its tokenizer, and how many tokens it reads at most."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import xxhash
from platformdirs import user_cache_path

from semilayer_pipelines.embedders.prompts import no_room
from semilayer_pipelines.errors import SemilayerError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["MAX_READING_BYTES", "Reading", "Remembered", "Told", "keep_told", "kept_told"]

MAX_READING_BYTES = 64 << 20
"""The longest answer to the question how a model reads; tokenizers have 0.5 to 35 MB."""

_LAYOUT = "1"  # another one is another folder, so that two versions can share a cache
_AGAIN_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """A model's tokenizer, without truncation or padding, and how many tokens it reads of a text.

    `limit` counts the special tokens, `special` is how many of these it adds to a text. `plain` is
    what the model reads before a text of neither side.
    """

    tokenizer: Tokenizer
    limit: int
    plain: str = ""

    @classmethod
    def of(cls, tokenizer: Tokenizer, limit: int, plain: str) -> Self:
        """Take a tokenizer as a model brings it."""
        # Asked first: to set either, one waits until no thread reads with the tokenizer.
        if tokenizer.truncation is not None:
            tokenizer.no_truncation()
        if tokenizer.padding is not None:
            tokenizer.no_padding()
        return cls(tokenizer, limit, plain)

    @cached_property
    def special(self) -> int:
        """How many special tokens stand around a text."""
        return int(self.tokenizer.num_special_tokens_to_add(is_pair=False))

    def require_room(self, prompt: str) -> None:
        """Raise `ConfigError` when the model reads nothing of a text behind this prompt."""
        if len(self.tokenizer.encode(prompt).ids) >= self.limit:
            raise no_room(prompt, self.limit)


@dataclass(frozen=True)
class Told:
    """What is told of a model by its files or a service; `None`: no limit or no such tokenizer."""

    reading: Reading | None

    def as_json(self, space: str) -> dict[str, object]:
        """Return what the embedder service tells of the model of a space."""
        one = self.reading
        if one is None:
            return {"fingerprint": space, "reading": None}
        about = {"limit": one.limit, "special": one.special, "plain": one.plain}
        # As a text: a vocabulary as objects takes ten times the memory.
        return {"fingerprint": space, "reading": about | {"tokenizer": one.tokenizer.to_str()}}

    @classmethod
    def of_json(cls, said: Any, space: str) -> Self | None:
        """Read what `as_json` gave; `None` for anything else."""
        if not isinstance(said, dict) or said.get("fingerprint") != space:
            return None
        match said.get("reading", ...):
            case None:
                return cls(None)
            case {"limit": int(limit), "plain": str(plain), "tokenizer": str(text)} if limit > 0:
                from tokenizers import Tokenizer

                try:
                    tokenizer = Tokenizer.from_str(text)
                # The library has no exception of its own for what it cannot read.
                except Exception as error:  # noqa: BLE001
                    logger.warning("The tokenizer of %s cannot be read: %s", space, error)
                    return None
                return cls(Reading.of(tokenizer, limit, plain))
            case _:
                return None


class Remembered:
    """Asks `find` once, and again a minute after it raised. Safe to share between threads."""

    def __init__(self, find: Callable[[], Reading | None]) -> None:
        self._find = find
        self._asking = threading.Lock()
        self._found: Told | None = None
        self._failed: tuple[float, SemilayerError] | None = None

    def get(self) -> Reading | None:
        """Return what was found; raise what `find` raises."""
        with self._asking:
            if self._found is not None:
                return self._found.reading
            if self._failed is not None and time.monotonic() - self._failed[0] < _AGAIN_S:
                raise self._failed[1]
            try:
                self._found = Told(self._find())
            except SemilayerError as error:
                self._failed = (time.monotonic(), error)
                raise
            return self._found.reading


def kept_told(space: str) -> Told | None:
    """Return what `keep_told` kept on this machine; `None` for nothing that can be read."""
    try:
        return Told.of_json(json.loads(_kept_in(space).read_text()), space)
    except (OSError, ValueError):
        return None


def keep_told(space: str, told: Told) -> None:
    """Keep what a service told, so that runs need not fetch it again."""
    file = _kept_in(space)
    # Where nothing can be kept, every process asks.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(handle, "w") as out:
                json.dump(told.as_json(space), out)
            os.replace(made, file)
        except OSError:
            Path(made).unlink(missing_ok=True)
            raise


def _kept_in(space: str) -> Path:
    name = f"{_LAYOUT}-{xxhash.xxh3_128_hexdigest(space.encode())}.json"
    return user_cache_path("semilayer") / "readings" / name
