"""Vectors that were made before, by a batch: looked up by their texts, and the rest asked for.

They lie in an unnamed file, so that memory does not grow with them and a killed process leaves
nothing. A line that cannot be read or used is left out: its text then goes the usual way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from semilayer_pipelines.embedders.answer import read_answer
from semilayer_pipelines.embedders.batch_api import text_id
from semilayer_pipelines.embedders.checks import checked
from semilayer_pipelines.embedders.protocol import Embedded, Embedder, PartlyEmbedded
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected, SemilayerError

__all__ = ["Fetched", "FetchedEmbedder", "read_lines"]


@dataclass(frozen=True)
class Fetched:
    """Vectors, shape (texts, dimension), the place of each by `text_id`, and its tokens."""

    vectors: NDArray[np.float32]
    places: dict[str, int]
    tokens: NDArray[np.int64]


@contextmanager
def read_lines(lines: IO[bytes], folder: Path, *, dimension: int | None) -> Iterator[Fetched]:
    """Read a file of answers, a line a text; the vectors lie in `folder` while the block lasts."""
    places: dict[str, int] = {}
    tokens: list[int] = []
    with TemporaryFile(dir=folder) as file:
        lines.seek(0)
        for line in lines:
            read = _read(line, dimension)
            if read is None or read[0] in places:
                continue
            ours, made = read
            dimension = made.vectors.shape[1]
            places[ours] = len(places)
            tokens.append(0 if made.tokens is None else int(made.tokens[0]))
            file.write(made.vectors.tobytes())
        file.flush()
        vectors: NDArray[np.float32] = np.zeros((0, dimension or 0), np.float32)
        if places:
            shape = (len(places), dimension or 0)
            vectors = np.memmap(file, np.float32, "r", shape=shape)
        yield Fetched(vectors, places, np.array(tokens, np.int64))


def _read(line: bytes, dimension: int | None) -> tuple[str, Embedded] | None:
    try:
        answer: Any = from_json(line)
        response = answer["response"]
        if response["status_code"] != 200:
            return None
        made = read_answer(to_json(response["body"]), 1, "the batch")
        checked(made.vectors, dimension)
        return str(answer["custom_id"]), made
    except (SemilayerError, ValueError, TypeError, LookupError):
        return None  # as the usual way finds out better what is wrong with a text


class FetchedEmbedder:
    """An embedder that looks texts of rows up first; `inner` makes what was not fetched."""

    def __init__(self, inner: Embedder, fetched: Fetched) -> None:
        self._inner = inner
        self._fetched = fetched
        self.fingerprint = inner.fingerprint

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts of rows, those alone that were not fetched. Raises like `inner`."""
        found = [self._fetched.places.get(text_id(text), -1) for text in texts]
        places = np.array(found, np.int64)
        at, missing = np.flatnonzero(places >= 0), np.flatnonzero(places < 0)
        if not len(at):
            return self._inner.embed(texts)
        taken = places[at]
        made = Embedded(
            np.asarray(self._fetched.vectors[taken]),
            np.zeros(len(at), np.bool_),
            self._fetched.tokens[taken],
        )
        if not len(missing):
            return made
        try:
            return _together(
                at, made, missing, self._inner.embed([texts[n] for n in missing.tolist()])
            )
        except EmbeddingRejected as refusal:
            kept = at
            if isinstance(refusal, PartlyEmbedded):
                others = missing[list(refusal.kept)]
                made, kept = _together(at, made, others, refusal.made), np.union1d(at, others)
            positions = missing[list(refusal.positions)].tolist()
            raise PartlyEmbedded(
                refusal, positions=positions, kept=kept.tolist(), made=made
            ) from refusal

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        """Embed questions by `inner`."""
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        """Return how the model of `inner` reads."""
        return self._inner.reading()


def _together(
    at: NDArray[np.intp], one: Embedded, others: NDArray[np.intp], two: Embedded
) -> Embedded:
    """Put the vectors of the texts at both kinds of positions in the order of these."""
    if one.vectors.shape[1] != two.vectors.shape[1]:
        raise DimensionChanged(
            f"The endpoint gives vectors of {two.vectors.shape[1]} numbers, and its batch gave "
            f"{one.vectors.shape[1]}.",
            cure="All vectors of a lens must come from one model; check the endpoint.",
        )
    order = np.argsort(np.concatenate([at, others]))
    known = two.tokens if two.tokens is not None else np.zeros(len(others), np.int64)
    assert one.tokens is not None
    return Embedded(
        np.concatenate([one.vectors, two.vectors])[order],
        np.concatenate([one.truncated, two.truncated])[order],
        np.concatenate([one.tokens, known])[order],
        two.by,
    )
