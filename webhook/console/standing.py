"""How a lens stands, in the words and buttons of the console.

What is told is `semilayer status`; here it only gets a word that needs no explanation, a tone, and
the buttons that fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from semilayer_pipelines.queries.cadence import next_tick
from semilayer_pipelines.registry.history import LensHistory
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs
from webhook.console.plot import Plot, bars, line

if TYPE_CHECKING:
    # Loads a store, so it is imported when a page is made.
    from semilayer_pipelines.cli.status_document import LensLine

__all__ = ["Button", "Standing", "standing_of"]


@dataclass(frozen=True)
class Button:
    """Something to do to a lens. One that `asks` leads to a page that tells what it does first."""

    action: str
    name: str
    asks: bool = False
    first: bool = False


@dataclass(frozen=True)
class Standing:
    """One lens: `tone` is `good`, `busy`, `rest` or `bad`; `notes` are what else to know of it.

    `cause` says why it is not well, and `cure` what to do. `next_at` is when something is done
    next, as far as that is known.
    """

    line: LensLine
    lens: Lens
    word: str
    tone: str
    cause: str
    cure: str
    notes: tuple[str, ...]
    buttons: tuple[Button, ...]
    next_at: datetime | None
    rates: Plot
    behind: Plot


def standing_of(
    line_: LensLine,
    lens: Lens,
    queued: list[Job],
    history: LensHistory | None,
    now: datetime,
    *,
    earlier_index: bool,
) -> Standing:
    """Return how a lens stands; `queued` are its queued jobs, the next one first.

    `earlier_index` says whether one is kept that it can go back to.
    """
    word, tone = _word(line_, lens)
    return Standing(
        line=line_,
        lens=lens,
        word=word,
        tone=tone,
        cause=line_.error or "",
        cure=line_.cure or "",
        notes=_notes(line_, lens),
        buttons=_buttons(line_, lens, earlier_index),
        next_at=_next_at(lens, queued, now),
        rates=bars(history.rates if history else ()),
        behind=line(history.behind if history else ()),
    )


def _word(told: LensLine, lens: Lens) -> tuple[str, str]:
    match lens.status:
        case LensStatus.PAUSED if told.generation is None:
            return "Not started", "rest"
        case LensStatus.PAUSED:
            return "Paused", "rest"
        case LensStatus.INDEXING:
            return "Building its index", "busy"
        case LensStatus.ERROR if told.failing is not None and not told.failing.needs_you:
            return "Failing, tried again by itself", "bad"
        case LensStatus.ERROR:
            return "Needs you", "bad"
        case LensStatus.READY if told.error:
            return "Needs you", "bad"
        case LensStatus.READY if told.progress:
            return "Working", "busy"
        case LensStatus.READY:
            return "Ready", "good"


def _notes(told: LensLine, lens: Lens) -> tuple[str, ...]:
    notes = []
    if told.generation is None and lens.status is LensStatus.PAUSED:
        notes.append("It is registered, and nothing of it is indexed yet: `semilayer resume`")
    if told.outlook:
        notes.append(f"{told.outlook[:1].upper()}{told.outlook[1:]}.")
    if told.next and told.next != told.outlook and told.needs is not Needs.NOTHING:
        notes.append(f"It {told.next}.")
    if told.advice:
        notes.append(f"{told.advice} `semilayer push --rebuild`")
    if told.rows and told.vectors and told.rows < told.vectors:
        notes.append("Long texts are cut into parts, so there are more vectors than rows.")
    if told.textless:
        notes.append(f"{told.textless:,} rows have no text, and no search finds them.")
    if told.awaited:
        notes.append(
            f"{told.awaited:,} changes name rows that were not found; these are looked for again."
        )
    return tuple(notes)


def _buttons(told: LensLine, lens: Lens, earlier_index: bool) -> tuple[Button, ...]:
    indexed = told.generation is not None
    resting = lens.status in (LensStatus.PAUSED, LensStatus.ERROR)
    guarded = "--confirm-deletes" in (told.cure or "")
    buttons = []
    if guarded:
        buttons.append(Button("allow-deletes", "Allow the deletes", asks=True, first=True))
    if resting or told.needs is Needs.REBUILD:
        buttons.append(Button("resume", "Resume", first=not guarded))
    if indexed and lens.status is not LensStatus.PAUSED:
        first = told.needs is Needs.SMART_SYNC and not resting
        buttons.append(Button("sync", "Sync", first=first))
    if lens.status is not LensStatus.PAUSED:
        buttons.append(Button("pause", "Pause"))
    if indexed:
        buttons.append(Button("rebuild", "Rebuild", asks=True))
    if indexed and earlier_index:
        buttons.append(Button("rollback", "Roll back", asks=True))
    return tuple(buttons)


def _next_at(lens: Lens, queued: list[Job], now: datetime) -> datetime | None:
    if lens.status is LensStatus.PAUSED:
        return None
    if queued:
        return queued[0].due_at
    return next_tick(lens.config, now)
