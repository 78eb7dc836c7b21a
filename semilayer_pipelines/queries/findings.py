"""What an audit finds of an index: kinds of differences, how many of each, and the first ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from semilayer_pipelines.bridges.protocol import HiddenRows
from semilayer_pipelines.errors import IndexDamaged

__all__ = [
    "OUT_OF_LINE",
    "OUT_OF_REACH",
    "SHOWN_IDS",
    "Audit",
    "Depth",
    "Found",
    "Kind",
    "Looked",
    "ToEmbed",
]

SHOWN_IDS = 20
"""Ids kept of each kind; the rest are counted."""

OUT_OF_REACH = (
    "writing again does not help, because the links of the vector index lead past such a row, as "
    "they do beside many equal vectors. An index without links (WEAVIATE_INDEX=flat) and a rebuild "
    "help, and so do texts that tell rows apart: docs/weaviate.md, "
    '"What the index does not reach".'
)
"""What to know of a row that is `Kind.UNREACHABLE`."""


class Kind(StrEnum):
    """What an audit finds of a row or an object."""

    MISSING = "missing"
    STALE = "stale"
    WRONG_MODEL = "wrong model"
    CHUNKS = "chunks"  # lost, doubled, of something else, or cut in another way than now
    DOUBLED = "doubled"
    ORPHAN = "orphan"  # an object that no row should have
    ORPHAN_CHUNK = "orphan chunks"  # their row is gone, or is of another version by now
    PENDING = "pending"  # differs, and a change that was accepted will bring it in
    SET_ASIDE = "set aside"  # cannot be mapped, so there is nothing that it should be indexed as
    TEXTLESS = "textless"  # nothing to embed, so it is left out of the search
    HIDDEN = "hidden from search"  # the index holds it, and no search for its own vector finds it
    UNREACHABLE = "out of reach"  # hidden, and still so when it was written again
    ALTERED = "altered"  # fields or vector of the object are not those of its row, its hashes are
    NO_KEY = "no key"  # NULL in a key column, so nothing can name it: counted, and without an id


OUT_OF_LINE = (
    Kind.MISSING,
    Kind.STALE,
    Kind.WRONG_MODEL,
    Kind.CHUNKS,
    Kind.DOUBLED,
    Kind.ORPHAN,
    Kind.ORPHAN_CHUNK,
    Kind.HIDDEN,
    Kind.ALTERED,
)
"""The kinds that a smart sync would mend; it needs to be told of the last two (`marked_rows`)."""


@dataclass(frozen=True)
class Depth:
    """How closely an audit looks, beside comparing hashes.

    `search` asks the index for every row by its own vector. `deep` reads fields and vectors back.
    `sample` is how many rows are asked for, and of how many the text is embedded.
    """

    search: bool = False
    deep: bool = False
    sample: int | None = None


@dataclass(frozen=True)
class Found:
    """How many of a kind, and the first ids of them."""

    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class ToEmbed:
    """Texts that a sync would embed: how many, their characters, and some of them."""

    texts: int
    characters: int
    sample: tuple[str, ...]


@dataclass(frozen=True)
class Looked:
    """How closely an audit did look.

    `searched` rows were asked for by their own vectors; `crowded` were not, because they share
    their text with more rows than a search shows. `read` objects were read back, and the texts of
    `embedded` embedded. `restarted`: the store was started again since the last write, so the rows
    written last were asked for.
    """

    searched: int = 0
    crowded: int = 0
    read: int = 0
    embedded: int = 0
    restarted: bool = False


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    `rows` were read from the source, `objects` are in the index. `problems` concern the index as a
    whole; `rebuild` says that only a rebuild mends them, `outgrown` that no job can write before
    it, because columns have types that the index cannot hold. `nulled` says by field how many
    values do not fit and are left empty. `hidden` says why the source may hide rows from this user;
    where it shows none at all, that is a problem. `damage` is why the index cannot be read.
    `generation_id` is that of the index in use. `altered` names the fields in which the first
    altered objects differ, by their ids. `seconds` is how long it took.
    """

    rows: int
    objects: int
    found: Mapping[Kind, Found]
    problems: tuple[str, ...]
    rebuild: bool
    to_embed: ToEmbed
    seconds: float
    nulled: Mapping[str, int] = field(default_factory=dict)
    hidden: HiddenRows | None = None
    outgrown: bool = False
    damage: IndexDamaged | None = None
    generation_id: int | None = None
    looked: Looked = Looked()
    altered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def in_line(self) -> bool:
        """Say whether the index is what the source says it should be."""
        return not self.problems and not any(self.found[kind].count for kind in OUT_OF_LINE)
