"""Quick looks at a lens, for Dagster's asset checks: bounded, and nothing is written.

A check that fails says that somebody should look; whether the index is in sync to the last row is
what an audit says (`ingest.audit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from itertools import islice

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.config.intervals import SYNC_INTERVALS
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.by_key import compare_by_key
from semilayer_pipelines.ingest.decision import Indexed
from semilayer_pipelines.ingest.missed_updates import MissedUpdates
from semilayer_pipelines.ingest.open_lens import OpenLens, as_indexed, open_lens
from semilayer_pipelines.ingest.stored_fields import unheld
from semilayer_pipelines.ingest.walk import shard_window
from semilayer_pipelines.mapping.columns import names_of
from semilayer_pipelines.one_model import REBUILD, not_of_one_model
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.as_of import as_of
from semilayer_pipelines.queries.health import health_of
from semilayer_pipelines.queries.state import WHOLE_WALKS
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import changes, failed_rows, generations, jobs
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs
from semilayer_pipelines.stores.protocol import KEY, Index

__all__ = ["Check", "Verdict", "check_lens"]

SAMPLE_ROWS = 100
SAMPLED_FRAMES = 8
"""Frames of an index that a sample is drawn from: half a million objects at most."""

SHOWN_ROWS = 5

TICK_GRACE = timedelta(minutes=2)
"""What a walk may take on top of two intervals before the lens counts as late."""


class Check(StrEnum):
    """What is looked at."""

    HEALTHY = "healthy"
    ROWS = "rows_match_source"
    FAILED = "no_failed_rows"
    FRESH = "fresh"
    SAMPLE = "sample_matches_source"
    MODEL = "one_model"


@dataclass(frozen=True)
class Verdict:
    """How a check went: a sentence and the numbers behind it."""

    passed: bool
    told: str
    numbers: Mapping[str, int | float | str] = field(default_factory=dict)


def check_lens(
    project: Project, lens: Lens, checks: frozenset[Check], *, seed: int
) -> dict[Check, Verdict]:
    """Look at a lens; `seed` chooses the sample.

    Nothing is raised for a source, a model or a store that cannot be asked: the checks that need it
    fail with the reason.
    """
    with project.registry.read() as db:
        generation = generations.active(db, lens.id)
        health = health_of(db, lens)
    told = {Check.HEALTHY: Verdict(health.well, health.told, health.facts)}
    found = {check: told[check] for check in checks & told.keys()}
    if generation is None:
        # A lens that nobody has resumed yet is as it should be.
        waiting = lens.status in (LensStatus.PAUSED, LensStatus.INDEXING)
        without = Verdict(waiting, "There is no index yet.")
        return found | dict.fromkeys(checks - found.keys(), without)
    without_source: dict[Check, Callable[[], Verdict]] = {
        Check.FAILED: lambda: _failed(project, lens),
        Check.FRESH: lambda: _fresh(project, lens, generation),
    }
    found |= {check: look() for check, look in without_source.items() if check in checks}
    left = checks - found.keys()
    if not left:
        return found
    try:
        with open_lens(project, as_indexed(project, lens)) as opened:
            index = opened.store.find(generation.index_name)
            with_source: dict[Check, Callable[[], Verdict]] = {
                Check.ROWS: lambda: _rows(opened, index),
                Check.SAMPLE: lambda: _sample(opened, generation, index, seed),
                Check.MODEL: lambda: _model(opened, lens, generation, index),
            }
            return found | {check: with_source[check]() for check in left}
    except SemilayerError as error:
        return found | dict.fromkeys(left - found.keys(), Verdict(False, redact(str(error))))


def _rows(opened: OpenLens, index: Index | None) -> Verdict:
    """Compare the counts; rows that were set aside or whose changes wait may be the difference."""
    with opened.registry.read() as db:
        allowed = failed_rows.count(db, opened.lens.id) + changes.buffered(db, opened.lens.id)
        textless = _textless(db, opened.lens)
    hidden = opened.bridge.hides_rows(opened.selection.table)
    source, indexed = opened.bridge.count(opened.selection), index.count() if index else 0
    told = f"{indexed:,} rows are indexed, {source:,} are in the source"
    if source != indexed and allowed:
        told += f"; {allowed:,} rows are set aside or have changes that wait"
    if source != indexed and textless:
        told += f"; up to {textless:,} rows have no text and are left out"
    if unnamed := opened.bridge.null_keys(opened.selection):
        told += f"; {unnamed:,} rows have no key and are left out"
    if hidden is not None:
        told += f"; {hidden.reason.removesuffix('.')}"
    return Verdict(
        abs(source - indexed) <= allowed + textless and (source > 0 or hidden is None),
        f"{told}.",
        {
            "source_rows": source,
            "vectors": indexed,
            "explained": allowed + textless,
            "rows_without_text": textless,
            "rows_without_key": unnamed,
        },
    )


def _textless(db: Connection, lens: Lens) -> int:
    """Return how many rows without a text there can be, as far as the jobs have met them.

    The last walk over all rows counted them, and jobs since may have met others.
    """
    whole = jobs.last_completed(db, lens.id, WHOLE_WALKS)
    return jobs.done_since(db, lens.id, whole.created_at).textless if whole else 0


def _failed(project: Project, lens: Lens) -> Verdict:
    with project.registry.read() as db:
        number = failed_rows.count(db, lens.id)
        first = failed_rows.list_all(db, lens.id, SHOWN_ROWS)
    shown = "; ".join(f"{row.key}: {row.reason}" for row in first)
    told = f"{number:,} rows are set aside, among them {shown}" if number else "None is set aside."
    return Verdict(number == 0, told, {"failed_rows": number})


def _fresh(project: Project, lens: Lens, generation: Generation) -> Verdict:
    """Hold the age of the last walks of each kind against twice their intervals."""
    if lens.status is LensStatus.PAUSED:
        return Verdict(True, "It is paused.")
    now, late, numbers = project.clock(), [], {}
    walks = {
        "incremental": (lens.config.sync_interval, (Mode.FULL, Mode.INCREMENTAL, Mode.SMART_SYNC)),
        "smart_sync": (lens.config.smart_sync_interval, (Mode.FULL, Mode.SMART_SYNC)),
    }
    for kind, (interval, modes) in walks.items():
        if interval is None:
            continue
        with project.registry.read() as db:
            age = now - (as_of(db, lens.id, modes) or generation.created_at)
        numbers[f"{kind}_age_seconds"] = round(age.total_seconds(), 1)
        if age > 2 * timedelta(seconds=SYNC_INTERVALS[interval]) + TICK_GRACE:
            late.append(f"the last {kind.replace('_', ' ')} of every {interval} began {age} ago")
    told = "; ".join(late) or ("It keeps its intervals." if numbers else "It has no interval.")
    return Verdict(not late, told, numbers)


def _model(opened: OpenLens, lens: Lens, generation: Generation, index: Index | None) -> Verdict:
    dimension = index.dimension if index else generation.dimension
    mixed = not_of_one_model(
        built_with=generation.model_fingerprint,
        now=opened.embedder.fingerprint,
        dimension=generation.dimension,
        found=dimension,
    )
    wrong = [f"{why} {REBUILD}" for why in mixed]
    if index is not None:
        wrong += unheld(opened.mapping, index.schema)
    match lens.needs:
        case Needs.REBUILD:
            wrong.append(f"It needs a rebuild: `semilayer resume --lens {lens.name}`.")
        case Needs.SMART_SYNC:
            wrong.append(f"It was pushed anew: `semilayer sync --lens {lens.name}`.")
        case Needs.NOTHING:
            pass
    told = " ".join(wrong) or f"{generation.model_fingerprint}, {dimension} dimensions."
    numbers: dict[str, int | float | str] = {"model": generation.model_fingerprint}
    return Verdict(not wrong, told, numbers | ({"dimension": dimension} if dimension else {}))


def _sample(opened: OpenLens, generation: Generation, index: Index | None, seed: int) -> Verdict:
    """Compare some rows, hash for hash, drawn from the index and from the source.

    A row that the next walk of some interval brings in is no fault. One whose tracked column did
    not move is, even where a smart sync follows: somebody writes past the column.
    """
    missed = MissedUpdates(opened, generation)
    reading = missed.reading(opened)
    keys = _drawn(index, seed)
    found = reading.bridge.read_rows(reading.selection, keys)
    window = shard_window(generation.bounds, seed % generation.shard_count)
    page = reading.bridge.read_page(
        reading.selection, Window(window.after, window.upto), SAMPLE_ROWS
    ).frame
    rows = pl.concat([found.frame, page], how="diagonal_relaxed").unique(
        list(opened.selection.key), maintain_order=True
    )
    mapped = opened.mapping.apply(rows)
    differing = mapped.frame[KEY].filter(compare_by_key(index, mapped) != Indexed.SAME)
    with opened.registry.read() as db:
        seq = changes.latest_seq(db, opened.lens.id)
        waiting = changes.waiting(db, opened.lens.id, differing.to_list(), seq)
    differing = differing.filter(~differing.is_in([change.key for change in waiting]))
    comes = bool(opened.tracked) or opened.lens.config.smart_sync_interval is not None
    wrong = missed.count(rows, differing) if comes else differing.len()
    same = mapped.frame.height - differing.len()
    told = f"{same:,} of {mapped.frame.height:,} rows are indexed as they are"
    if wrong and opened.tracked:
        told += f"; {wrong:,} changed without moving {names_of(opened.tracked)}"
    elif wrong:
        told += f"; no interval brings the other {wrong:,} in"
    return Verdict(
        wrong == 0,
        f"{told}.",
        {
            "compared": mapped.frame.height,
            "differing": differing.len(),
            "wrong": wrong,
            "gone": len(keys) - found.frame.height - len(found.refused) - len(found.left),
        },
    )


def _drawn(index: Index | None, seed: int) -> list[str]:
    frames = list(islice(index.scan(), SAMPLED_FRAMES)) if index else []
    keys = pl.concat([pl.Series(KEY, [], dtype=pl.String), *(frame[KEY] for frame in frames)])
    return keys.unique().sort().sample(min(SAMPLE_ROWS, keys.n_unique()), seed=seed).to_list()
