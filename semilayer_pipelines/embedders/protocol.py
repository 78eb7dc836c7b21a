"""What an embedder is: texts in, float32 vectors out.

There are two sides: texts of rows, and texts that somebody searches by. Many models read a prompt
before each that tells them apart.

The fingerprint names the space the vectors live in; it is known without loading the model, so that
a run that finds nothing to embed never imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.prompts import BuiltWith, OwnPrompts
from semilayer_pipelines.embedders.reading import Reading, Told
from semilayer_pipelines.errors import EmbeddingRejected

if TYPE_CHECKING:  # which commands that embed nothing need not wait for
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedded", "Embedder", "PartlyEmbedded", "PromptedEmbedder"]


@dataclass(frozen=True)
class Embedded:
    """Vectors of shape (texts, dimension), float32, and which texts the model cut short.

    `tokens` is how many tokens the model read of each text, and `by` what computed the
    vectors; both `None` where the embedder does not say.
    """

    vectors: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    tokens: NDArray[np.int64] | None = None
    by: Backend | None = None


class PartlyEmbedded(EmbeddingRejected):
    """Some texts of a call were rejected, and others were embedded: nobody has to pay them twice.

    `made` are the vectors of the texts at `kept`, ascending positions in the call. Of the others,
    those at `positions` are known to be at fault.
    """

    def __init__(
        self,
        refusal: EmbeddingRejected,
        *,
        positions: Sequence[int],
        kept: Sequence[int],
        made: Embedded,
    ) -> None:
        super().__init__(refusal.message, cure=refusal.cure, positions=positions)
        self.kept = tuple(kept)
        self.made = made


class Embedder(Protocol):
    """Turns texts into vectors of one space."""

    @property
    def fingerprint(self) -> str:
        """Name the space: provider, model, revision and what else changes vectors of rows."""
        ...

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts of rows, in their order.

        Raises `ModelUnavailable` (cannot be loaded, key refused), `EmbedderUnavailable` (busy or
        down, after its own retries), `EmbeddingRejected` (some text of these cannot be embedded, or
        a vector is NaN, infinite or zero), `DimensionChanged` (not the declared dimension), and
        `ConfigError` for a prompt that leaves no room for a text.
        """
        ...

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed texts that somebody searches by, in their order. Raises like `embed`."""
        ...

    def reading(self) -> Reading | None:
        """Return how the model reads a text; `None` where it has no limit, or never tells.

        Raises `ReadingUnknown` when nobody can tell who is there now, `EmbedderUnavailable` when
        the service that could does not answer, and `ModelUnavailable` for a file that cannot be
        read and for a key that the service refuses.
        """
        ...


class PromptedEmbedder(Embedder, Protocol):
    """A model on this machine, which a service offers with any prompt."""

    @property
    def built(self) -> BuiltWith:
        """How an index is built, or was, whose vectors these are."""
        ...

    @property
    def space(self) -> str:
        """Name the space without any prompt."""
        ...

    def own_prompts(self) -> OwnPrompts | None:
        """Return what the model brings; `None` while its files are not on this machine."""
        ...

    def reading_here(self) -> Told | None:
        """Return how the model reads; `None` while its files are not on this machine."""
        ...

    def query_prompt(self, own: OwnPrompts) -> str | None:
        """Return what goes before a question, when this is what the model brings."""
        ...

    def embed_behind(self, prompt: str | None, texts: Sequence[str]) -> Embedded:
        """Embed texts, each behind the prompt; `None` is the one for texts of neither side.

        Raises like `embed`.
        """
        ...
