"""Rows whose text is longer than the model reads, cut into chunks that it reads whole.

A row that fits is left alone: its text, hashes and vector stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from semilayer_pipelines.config.chunking import ChunkingConfig
from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders.local.reading import Reading, reading_of
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.mapping.embedded_text import has_text
from semilayer_pipelines.mapping.hashes import fingerprint
from semilayer_pipelines.mapping.plan import TEXT
from semilayer_pipelines.mapping.typed import plain_text, settled

__all__ = ["AT", "CHUNKS", "END", "FIELD", "ORDINAL", "START", "Splitter", "splitter"]

AT = "_at"  # UInt32: position in the rows that came in
ORDINAL = "_ordinal"  # UInt32: number of the chunk in its row, from 0
FIELD = "_field"  # String: name of the field that was cut
START = "_start"  # UInt32: first character of the chunk in that field's text
END = "_end"  # UInt32: first character behind it

CHUNKS = {
    AT: pl.UInt32(),
    ORDINAL: pl.UInt32(),
    FIELD: pl.String(),
    START: pl.UInt32(),
    END: pl.UInt32(),
    TEXT: pl.String(),
}
"""Columns of what `Splitter.split` returns."""

_RULES = 1
"""Raise when texts begin to be cut elsewhere; every index then cuts its long texts again."""


@dataclass(frozen=True)
class Splitter:
    """Made once a run.

    `fingerprint` names all that decides where texts are cut.
    """

    fingerprint: str
    config: ChunkingConfig = field(repr=False)
    fields: tuple[str, ...]
    reading: Reading = field(repr=False)

    @cached_property
    def room(self) -> int:
        """How many tokens a text may have, without the model's special ones."""
        size = min(self.config.size or self.reading.limit, self.reading.limit)
        return size - self.reading.special

    def may_exceed(self, texts: pl.Series) -> pl.Series:
        """Say (Boolean) which texts may have to be cut; false: a text fits for certain."""
        return texts.str.len_bytes() > self.room

    def split(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the chunks (CHUNKS) of the rows that have to be cut, row by row, in order."""
        asked = self.may_exceed(rows[TEXT]).arg_true().to_list()
        texts = rows[TEXT].gather(asked).to_list()
        long = [at for at, n in zip(asked, self._counts(texts), strict=True) if n > self.room]
        columns = {
            name: rows.select(plain_text(settled(pl.col(name), rows.schema[name]))).to_series()
            for name in self.fields
        }
        lines = [line for at in long for line in self._row(at, columns)]
        return pl.DataFrame(lines, schema=CHUNKS, orient="row")

    def _counts(self, texts: Sequence[str]) -> list[int]:
        made = self.reading.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(one) for one in made]

    def _row(self, at: int, columns: dict[str, pl.Series]) -> Iterator[tuple[object, ...]]:
        held = {name: values[at] or "" for name, values in columns.items()}
        counts = dict(zip(held, self._counts(list(held.values())), strict=True))
        before, room = [], self.room // 4
        for name in sorted(held, key=lambda one: counts[one]):
            may_stay = name not in self.config.fields
            if may_stay and counts[name] <= room:
                room -= counts[name]
                before.append(name)
        prefix = "\n".join(held[name] for name in held if name in before and held[name])
        ordinal = 0
        for name, value in held.items():
            if name in before:
                continue
            for start, end in self._cut(value, prefix):
                own = value[start:end]
                yield at, ordinal, name, start, end, f"{prefix}\n{own}" if prefix else own
                ordinal += 1

    def _cut(self, text: str, prefix: str) -> Iterator[tuple[int, int]]:
        start, end = None, 0
        for word in re.finditer(r"\S+", text):
            if start is None:
                start, end = word.start(), word.end()
            elif self._counts([f"{prefix}\n{text[start : word.end()]}"])[0] <= self.room:
                end = word.end()
            else:
                yield from self._fitting(text, start, end, prefix)
                start, end = word.start(), word.end()
        if start is not None:
            yield from self._fitting(text, start, end, prefix)

    def _fitting(self, text: str, start: int, end: int, prefix: str) -> Iterator[tuple[int, int]]:
        """Cut what alone is too long, at characters."""
        if self._counts([f"{prefix}\n{text[start:end]}"])[0] <= self.room or end - start < 2:
            if has_text(pl.Series([text[start:end]])).all():
                yield start, end
            return
        middle = (start + end) // 2
        yield from self._fitting(text, start, middle, prefix)
        yield from self._fitting(text, middle, end, prefix)


def splitter(config: LensConfig, embedder: Embedder) -> Splitter | None:
    """Return what cuts the long texts of a lens, or `None` where nothing is ever cut.

    Raises `ModelUnavailable` when the model's tokenizer cannot be had.
    """
    chunking = config.chunking
    if chunking.mode == "off":
        return None
    reading = reading_of(config.embedding)
    if reading is None:
        return None
    fields: dict[str, FieldConfig] = {n: f for n, f in config.fields.items() if f.searchable}
    decides = {
        "rules": _RULES,
        "model": embedder.fingerprint,
        "chunking": chunking.model_dump(mode="json", exclude_defaults=True),
        "fields": list(fields),
    }
    return Splitter(fingerprint(decides), chunking, tuple(fields), reading)
