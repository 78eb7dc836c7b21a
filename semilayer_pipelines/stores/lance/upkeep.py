"""When a Lance table is worn, and what is done about it: compaction, clean-up, indexes.

Everything is read off the table and its folder, so any process comes to the same answer. It must
run under the writer lock (it loses every race against a busy writer), and must never remove a
version that a reader may still be on.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from semilayer_pipelines.errors import IndexDamaged
from semilayer_pipelines.memory import give_back
from semilayer_pipelines.stores.lance.errors import store_errors
from semilayer_pipelines.stores.lance.runtime import BTree, IvfRq, IvfSq
from semilayer_pipelines.stores.lance.words import asked, words_index
from semilayer_pipelines.stores.protocol import KEY, VECTOR, WORDS

__all__ = [
    "Bounds",
    "broken_indexes",
    "build_indexes",
    "drop_broken_indexes",
    "is_scattered",
    "lacks_index",
    "maintain",
]


_SHARES = {"p25": 0.25, "p50": 0.5, "p75": 0.75, "max": 1.0}
_SAMPLE_RATE = 64  # vectors a partition is trained on; with four times as many nothing is gained


@dataclass(frozen=True)
class Bounds:
    """From where on something is done; the defaults are measured on 384-d rows, two cores."""

    small_fragments: int = 20  # each costs a scan about 0.5 ms; most commits leave one
    small_fragment_rows: int = 5_000  # reading as many rows costs a scan more than that
    dead_share: float = 0.2  # a scan takes as much longer; a compaction as long as ten of them
    stale_versions: int = 20
    key_index_rows: int = 20_000  # below, reading all keys is as fast as asking an index
    ann_rows: int = 500_000  # exact search takes about 0.4 s there
    ann_partition_rows: int = 16_384  # all are searched; so few keep the training short
    ann_unindexed_rows: int = 100_000  # searched one by one until folded in: 0.08 s
    ann_parts: int = 20  # each folding-in adds one, and a search asks them all
    words_unindexed_rows: int = 2_000  # looked at one by one until then: 0.012 s
    words_unindexed_share: float = 0.02  # of the table; all of it is indexed again, 20 µs a row
    copies: int = 4  # a compaction rewrites a table below a million rows in full
    copies_bytes: int = 256 * 2**20
    kept_for: timedelta = timedelta(hours=1)  # old versions; a reader may be on one that long


def lacks_index(table: Any, bounds: Bounds = Bounds()) -> bool:
    """Say whether an index is missing, or in so many parts that a new one is better."""
    return bool(_due_indexes(table, table.count_rows(), bounds))


def is_scattered(table: Any, folder: Path, bounds: Bounds = Bounds()) -> bool:
    """Say whether rows, dead ones too, lie in so many places that rewriting them is worth it."""
    if _ann_lags(table, bounds):
        return True
    stats = table.stats()
    fragments = stats["fragment_stats"]
    physical = fragments["num_fragments"] * fragments["lengths"]["mean"]
    worn = (
        _many_small(fragments, bounds)
        or physical - stats["num_rows"] > physical * bounds.dead_share
        or _has_stale_versions(folder, bounds)
    )
    return worn and _room_for_a_copy(folder, stats["total_bytes"], bounds)


def maintain(table: Any, bounds: Bounds = Bounds()) -> None:
    """Merge small files, drop deleted rows and old versions, bring the indexes up to date."""
    build_indexes(table, bounds)
    table.optimize(cleanup_older_than=bounds.kept_for)


def build_indexes(table: Any, bounds: Bounds = Bounds()) -> None:
    """Build the indexes that are due and leave the rows where they lie.

    For a key index that is a tenth of the time that rewriting the rows takes.
    """
    for column, config in _due_indexes(table, table.count_rows(), bounds):
        # Lance is about to take the whole index of the vectors into memory, beside what is kept.
        give_back()
        table.create_index(column, config=config, replace=True)


def broken_indexes(table: Any) -> list[str]:
    """Return the names of the indexes that cannot be asked; a few milliseconds."""
    return [index.name for index in table.list_indices() if not _answers(table, index.columns[0])]


def drop_broken_indexes(table: Any) -> bool:
    """Drop the indexes that cannot be asked; say whether there were any.

    That of the words is made again at once: without any, Lance would cut words its own way.
    """
    broken = broken_indexes(table)
    for name in broken:
        table.drop_index(name)
    if broken and _lacks_words_index(table, table.list_indices()):
        table.create_index(WORDS, config=words_index())
    return bool(broken)


def _answers(table: Any, column: str) -> bool:
    if column == VECTOR:
        dimension = table.schema.field(VECTOR).type.list_size
        query = table.search([1.0] * dimension, vector_column_name=VECTOR, query_type="vector")
        query = query.distance_type("cosine").nprobes(1).fast_search().select([KEY, "_distance"])
    elif column == WORDS:
        query = asked(table, ["a"]).fast_search().select([KEY, "_score"])
    else:
        query = table.search().where(f"`{column}` = ''").select([KEY])
    try:
        with store_errors("asking an index", reading=True):
            query.limit(1).to_arrow()
    except IndexDamaged:
        return False
    return True


def _due_indexes(table: Any, rows: int, bounds: Bounds) -> list[tuple[str, Any]]:
    """Return the indexes to be built: missing, or in so many parts that a new one is better."""
    indexes = table.list_indices()
    parts = {index.columns[0]: index.num_segments for index in indexes}
    due: list[tuple[str, Any]] = []
    if rows >= bounds.key_index_rows and KEY not in parts:
        due.append((KEY, BTree()))
    if _lacks_words_index(table, indexes) or _words_lag(indexes, rows, bounds):
        due.append((WORDS, words_index()))
    if rows >= bounds.ann_rows and not 0 < parts.get(VECTOR, 0) < bounds.ann_parts:
        partitions = max(1, rows // bounds.ann_partition_rows)
        due.append((VECTOR, _vector_index(table, partitions)))
    return due


def _vector_index(table: Any, partitions: int) -> IvfRq | IvfSq:
    """Return four bits a number where Lance can, which searches ten times as fast as eight."""
    if table.schema.field(VECTOR).type.list_size % 8:
        return IvfSq(distance_type="cosine", num_partitions=partitions)
    return IvfRq(
        distance_type="cosine", num_partitions=partitions, num_bits=4, sample_rate=_SAMPLE_RATE
    )


def _many_small(fragments: dict[str, Any], bounds: Bounds) -> bool:
    # Lance calls a fragment small below 100,000 rows. The pages of a full ingest have 8,000 each:
    # merging those would rewrite the whole table, with a peak of memory, for nothing. It tells the
    # lengths below which some shares of the fragments are, and by these, how many are small for us.
    return any(
        fragments["num_fragments"] * share >= bounds.small_fragments
        and fragments["lengths"][name] < bounds.small_fragment_rows
        for name, share in _SHARES.items()
    )


def _ann_lags(table: Any, bounds: Bounds) -> bool:
    return any(
        VECTOR in index.columns and index.num_unindexed_rows >= bounds.ann_unindexed_rows
        for index in table.list_indices()
    )


def _lacks_words_index(table: Any, indexes: Sequence[Any]) -> bool:
    return WORDS in table.schema.names and all(WORDS not in index.columns for index in indexes)


def _words_lag(indexes: Sequence[Any], rows: int, bounds: Bounds) -> bool:
    limit = max(bounds.words_unindexed_rows, rows * bounds.words_unindexed_share)
    return any(WORDS in index.columns and index.num_unindexed_rows >= limit for index in indexes)


def _has_stale_versions(folder: Path, bounds: Bounds) -> bool:
    """Say whether so many versions are older than they are kept for; one file tells it of all."""
    versions = folder / "_versions"
    with contextlib.suppress(FileNotFoundError):
        # The oldest has the largest name.
        oldest = sorted(name for name in os.listdir(versions) if name.endswith(".manifest"))
        if len(oldest) >= bounds.stale_versions:
            at = (versions / oldest[-bounds.stale_versions]).stat().st_mtime
            return at < time.time() - bounds.kept_for.total_seconds()
    return False


def _room_for_a_copy(folder: Path, live_bytes: int, bounds: Bounds) -> bool:
    """Keep a busy lens from filling the disk with an hour's worth of rewritten tables.

    Lance cannot be told to leave big files alone. So once a few copies lie about, the next is not
    made before a fair share of the time has passed that old ones are kept.
    """
    files = list(_files(folder / "data", ".lance"))
    if sum(file.st_size for file in files) <= max(bounds.copies * live_bytes, bounds.copies_bytes):
        return True
    rewritten = max((f.st_mtime for f in files if f.st_size * 4 >= live_bytes), default=0.0)
    return time.time() - rewritten >= bounds.kept_for.total_seconds() / bounds.copies


def _files(folder: Path, ending: str) -> Iterator[os.stat_result]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            # The writer may be cleaning up.
            with contextlib.suppress(FileNotFoundError):
                if entry.name.endswith(ending):
                    yield entry.stat()
