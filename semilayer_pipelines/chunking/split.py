"""Rows whose text is longer than the model reads, cut into chunks that it reads whole.

A row that fits is left alone: its text, hashes and vector stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import polars as pl
from tokenizers import Tokenizer

from semilayer_pipelines.chunking.borders import Level
from semilayer_pipelines.chunking.count import Counter, Estimate, counter_of
from semilayer_pipelines.chunking.pieces import CHARACTERS_A_TOKEN
from semilayer_pipelines.chunking.row import Chunk, Limits, cut_row
from semilayer_pipelines.chunking.rules import cut_by, weights_of
from semilayer_pipelines.config.chunking import By
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders import BuiltWith, Embedder
from semilayer_pipelines.mapping.embedded_text import has_text
from semilayer_pipelines.mapping.plan import TEXT
from semilayer_pipelines.mapping.typed import plain_text, settled
from semilayer_pipelines.stores.chunks.protocol import END, FIELD, ORDINAL, START

__all__ = ["AT", "COLUMNS", "Splitter", "splitter"]

AT = "_at"  # UInt32: position in the rows that came in

COLUMNS = {
    AT: pl.UInt32(),
    ORDINAL: pl.UInt32(),
    FIELD: pl.String(),
    START: pl.UInt32(),
    END: pl.UInt32(),
    TEXT: pl.String(),
}
"""What `Splitter.split` returns; the names of the others are those of stored chunks."""

_ALWAYS: dict[By, Level | None] = {
    "structure": None,
    "paragraph": Level.PARAGRAPH,
    "sentence": Level.SENTENCE,
}

# U+FDFA has three bytes, and is eighteen letters of two bytes to a tokenizer that takes it apart.
_TOKENS_A_BYTE = 11

# A text of fewer bytes for each token of the room may well fit. It is counted first, for cutting it
# in vain takes longer.
_MAY_WELL_FIT = 4


@dataclass(frozen=True)
class Splitter:
    """Made once a run; `fingerprint` names all that decides where texts are cut.

    `weights` has the searchable fields in their order.
    """

    fingerprint: str
    weights: Mapping[str, int] = field(repr=False)
    limits: Limits = field(repr=False)

    def may_exceed(self, texts: pl.Series) -> pl.Series:
        """Say (Boolean) which texts may have to be cut; false: a text fits for certain."""
        sizes = texts.str.len_bytes().cast(pl.Int64)
        if self.limits.counter.adds_up:  # WordPiece: no token has less than a byte
            return sizes > self.limits.room
        plain = sizes == texts.str.len_chars()
        # Some begin a text with a token of their own.
        return sizes.zip_with(plain, sizes * _TOKENS_A_BYTE) >= self.limits.room

    def split(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the chunks (COLUMNS) of the rows that have to be cut, row by row, in order.

        `rows` needs TEXT and the searchable fields. A text of more than 64 characters for each
        token that fits is cut in any case, so that a chunk never is megabytes of blanks.
        """
        asked = self.may_exceed(rows[TEXT]).arg_true()
        texts = rows[TEXT].gather(asked)
        counted = self._counted(texts)
        long = counted.fill_null(True)
        at, known = asked.filter(long), counted.filter(long)
        held = rows[at].select(
            TEXT,
            *(
                plain_text(settled(pl.col(name), rows.schema[name])).fill_null("").alias(name)
                for name in self.weights
            ),
        )
        made: list[tuple[int, Chunk]] = []
        # Row by row: borders and tokens of texts are Python's and the tokenizer's to find.
        for place, sure, (text, *values) in zip(at, known, held.iter_rows(), strict=True):
            fields = dict(zip(self.weights, values, strict=True))
            check = None if sure else lambda text=text: self._exceeds(text)
            made += ((place, c) for c in cut_row(fields, self.weights, self.limits, check))
        return _frame(made)

    def _counted(self, texts: pl.Series) -> pl.Series:
        """Say (Boolean) which texts exceed; null where that shows when their parts are counted."""
        limits = self.limits
        huge = texts.str.len_chars() > limits.room * CHARACTERS_A_TOKEN
        few = texts.str.len_bytes() <= limits.room * _MAY_WELL_FIT
        now = ~huge if limits.counter.fast else ~huge & few
        counts = pl.Series(limits.counter.count(texts.filter(now).to_list()))
        known = pl.Series([None] * len(texts), dtype=pl.Boolean)
        known = known.scatter(huge.arg_true(), True)
        return known.scatter(now.arg_true(), counts > limits.room)

    def _exceeds(self, text: str) -> bool:
        return bool(self.limits.counter.count([text])[0] > self.limits.room)


def splitter(config: LensConfig, embedder: Embedder, built: BuiltWith) -> Splitter | None:
    """Return what cuts the long texts of a lens, or `None` where nothing is ever cut.

    `built` is how the index was built that the chunks are for: a prompt takes room of each.
    Raises what `cut_by` raises.
    """
    named = cut_by(config, embedder)
    if named is None:
        return None
    chunking, reading = config.chunking, embedder.reading()
    counter: Counter
    if reading is not None:
        counter = _counter(reading.tokenizer)
        size = (chunking.size or reading.limit) - reading.special
    else:
        assert chunking.size is not None
        counter, size = Estimate(), chunking.size
    prompt = built.passage_prompt
    if prompt is None:
        prompt = "" if reading is None else reading.plain
    room = max(1, size - _spent(prompt, counter))
    always = _ALWAYS[chunking.by]
    limits = Limits(counter, room, chunking.overlap, chunking.fields, always)
    return Splitter(named, weights_of(config), limits)


@lru_cache(maxsize=4)
def _counter(tokenizer: Tokenizer) -> Counter:
    # A run opens many lenses, and most have one model: probing a counter takes 0.1 s.
    return counter_of(tokenizer)


def _spent(prompt: str, counter: Counter) -> int:
    """Return how many tokens the prompt before each passage takes of a chunk."""
    if not prompt:
        return 0
    # Where counts do not add up, a token more may come of the place where both meet.
    return int(counter.count([prompt])[0]) + (not counter.adds_up)


def _frame(made: list[tuple[int, Chunk]]) -> pl.DataFrame:
    """Return chunks as a frame, without those in which nothing can be seen."""
    columns = {
        AT: [place for place, _ in made],
        FIELD: [chunk.field for _, chunk in made],
        START: [chunk.start for _, chunk in made],
        END: [chunk.end for _, chunk in made],
        TEXT: [chunk.text for _, chunk in made],
    }
    found = pl.DataFrame(columns, schema={name: COLUMNS[name] for name in columns})
    # The chunk stands last in its text.
    own = found.select(pl.col(TEXT).str.tail(pl.col(END) - pl.col(START))).to_series()
    visible = found.filter(has_text(own))
    ordinal = pl.int_range(pl.len(), dtype=pl.UInt32).over(AT)
    return visible.with_columns(ordinal.alias(ORDINAL)).select(*COLUMNS)
