"""Which prompts an embedder uses: the model's own, those of a lens, or those of an index.

A row's text and a question have a side each. The passages' side is part of an index: its vectors
were made with it, so it stays until a rebuild. The query side is only right beside it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import xxhash

from semilayer_pipelines.config.prompts import PromptsConfig
from semilayer_pipelines.errors import ConfigError

__all__ = [
    "BuiltWith",
    "OwnPrompts",
    "built_now",
    "fingerprint_of",
    "no_room",
    "query_prompt",
]

_SHOWN = 40


@dataclass(frozen=True)
class OwnPrompts:
    """What a model brings: for each side, and what is read with a text of neither (`plain`)."""

    query: str = ""
    passage: str = ""
    plain: str = ""

    def as_json(self) -> dict[str, str]:
        """Return what the embedder service tells of a model."""
        return asdict(self)

    @classmethod
    def of_json(cls, said: Any) -> Self | None:
        """Read what `as_json` gave; `None` from a service that says nothing of the kind."""
        names = ("query", "passage", "plain")
        if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in names):
            return None
        return cls(*(said[name] for name in names))


@dataclass(frozen=True)
class BuiltWith:
    """How the texts of an index were embedded; `None`: as texts of neither side.

    That is how every index was made before there were sides, and how one still is where the model
    reads passages like any text.
    """

    passage_prompt: str | None


def built_now(asked: PromptsConfig, own: OwnPrompts) -> BuiltWith:
    """Return how an index is built that is made now."""
    wanted = own.passage if asked.passage is None else asked.passage
    return BuiltWith(None if wanted == own.plain else wanted)


def query_prompt(asked: PromptsConfig, own: OwnPrompts, built: BuiltWith | None) -> str | None:
    """Return what goes before a question to an index; `None`: it is read as a text of neither side.

    The model's own prompt is left out where the index was built with another passage prompt than it
    would be now: questions would meet passages that the model was not trained to bring together.
    """
    if asked.query is not None:
        return asked.query
    if built is not None and built != built_now(asked, own):
        return None
    return own.query


def fingerprint_of(space: str, prompt: str | None) -> str:
    """Name the vectors of a space's model behind a passage prompt; `None` adds nothing."""
    if prompt is None:
        return space
    return f"{space}:passage-{xxhash.xxh3_64_hexdigest(prompt.encode())}"


def no_room(prompt: str, limit: int) -> ConfigError:
    """Return the error of a prompt after which a model of `limit` tokens reads no text."""
    shown = prompt if len(prompt) <= _SHOWN else f"{prompt[:_SHOWN]}…"
    return ConfigError(
        f"embedding.prompts: the prompt {shown!r} leaves no room for a text: the model reads "
        f"{limit} tokens, and the prompt takes them all.",
        cure="Shorten the prompt, or choose a model that reads more.",
    )
