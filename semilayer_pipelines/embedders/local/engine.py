"""A loaded model, in one of the ways it can be run on this machine."""

from __future__ import annotations

from typing import Protocol

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.protocol import Embedded

__all__ = ["Engine"]


class Engine(Protocol):
    """Distinct texts in, vectors out; safe to share between threads."""

    @property
    def backend(self) -> Backend:
        """Say what this engine is."""
        ...

    def embed(self, texts: list[str], prompt: str = "") -> Embedded:
        """Embed the texts, each behind the prompt, best given longest first.

        Raises `ConfigError` for a prompt that leaves no room for a text, and whatever the backend
        raises.
        """
        ...
