"""Every error a person can meet, as one tree.

Three questions decide the class: did the user do it (`UserError`), may it pass by itself
(`Transient`), or will it stay until somebody acts (`Terminal`)? `Refused` is our own no, and
`Fenced` tells a run that another one has taken over. The edges (command line, HTTP, Dagster) turn
classes into exit codes, statuses and events in one place each; nothing below them does.

A message says what failed and why; the cure says what to do next. Neither may hold a secret: pass
connection strings through `redact` first, which lives in `redaction`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

__all__ = [
    "ConfigError",
    "DimensionChanged",
    "EmbedderUnavailable",
    "EmbeddingRejected",
    "EmptySource",
    "Fenced",
    "FieldsChanged",
    "GuardStopped",
    "IndexDamaged",
    "IndexDropped",
    "ModelUnavailable",
    "NotFound",
    "NotPermitted",
    "ObjectsRejected",
    "Overtaken",
    "ReadingUnknown",
    "Refused",
    "RegistryUnavailable",
    "SchemaMismatch",
    "SemilayerError",
    "SourceLocked",
    "SourceRefused",
    "SourceUnreachable",
    "StoreFull",
    "StoreRefused",
    "StoreUnavailable",
    "TableAltered",
    "Terminal",
    "TooManyFailures",
    "Transient",
    "UserError",
    "about",
    "nearest",
]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest of `known`, or an empty text."""
    lowered = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f" (did you mean {str(lowered[found[0]])!r}?)" if found else ""


def _one_full_stop(message: str) -> str:
    """End a message with one full stop where it ends with what others said, who ended it too."""
    twice = message.endswith(("..", "!.", "?.")) and not message.endswith("...")
    return message[:-1] if twice else message


class SemilayerError(Exception):
    """Root of the tree.

    `message` says what failed and why, `cure` what to do next (may be empty), `lens` the lens it
    happened to (`None` when it concerns no single lens). `key` is the key of the lens in
    `sl.config.yaml` that is at fault, where one is; a dot leads to one below it.
    """

    key: str | None = None

    def __init__(self, message: str, *, cure: str = "", lens: str | None = None) -> None:
        message = _one_full_stop(message)
        super().__init__(message)
        self.message = message
        self.cure = cure
        self.lens = lens

    def __str__(self) -> str:
        prefix = f"lens {self.lens!r}: " if self.lens else ""
        suffix = f" {self.cure}" if self.cure else ""
        return f"{prefix}{self.message}{suffix}"


class UserError(SemilayerError):
    """Something the user wrote or asked for is wrong; nothing was done."""


class ConfigError(UserError):
    """`sl.config.yaml` or a setting is wrong; the message names file, line and key."""


class SchemaMismatch(UserError):
    """A table, column or key named by a lens is not in the source, or has an unusable type."""


class NotFound(UserError):
    """A lens, environment, job or index that was asked for does not exist."""


class IndexDropped(NotFound):
    """An index was dropped while it was in use; a run starts over with what is there now."""


class Refused(SemilayerError):
    """The request is well formed and is declined, for example because a person must confirm."""


class GuardStopped(Refused):
    """A sync or a switch would take away more rows than the lens's guard allows (invariant 5)."""


class EmptySource(GuardStopped):
    """A guard stopped because the source showed no row, which is more likely a moment's fault."""


class Overtaken(Refused):
    """Somebody changed the same thing between the look and the write; nothing was written."""


class Transient(SemilayerError):
    """May pass by itself; the caller retries with back-off before it gives up."""


class SourceUnreachable(Transient):
    """The source did not answer in time or the connection broke."""


class SourceLocked(SourceUnreachable):
    """Another transaction holds what was asked of the source, longer than it was waited for."""


class TableAltered(Transient):
    """A table was altered while it was read; the next look reads it as it is then."""


class EmbedderUnavailable(Transient):
    """The embedding endpoint is busy, down or rate limiting."""


class StoreUnavailable(Transient):
    """The vector store did not answer, or lost a commit race it can win next time.

    `away`: nobody answered, or the server is starting. `waited`: somebody has waited for it already
    as long as a run does.
    """

    away = False
    waited = False


class StoreFull(Transient):
    """The vector store has no room or is read-only."""


class RegistryUnavailable(Transient):
    """The registry's database did not answer.

    `lost`: the connection is gone, and nobody has waited for another one yet.
    """

    def __init__(
        self, message: str, *, cure: str = "", lens: str | None = None, lost: bool = False
    ) -> None:
        super().__init__(message, cure=cure, lens=lens)
        self.lost = lost


class Terminal(SemilayerError):
    """Will not pass by itself; a person has to act."""


class SourceRefused(Terminal):
    """The source answered and said no: wrong password, no permission, no such database."""


class NotPermitted(SourceRefused):
    """The source's user may not read something that a lens names."""


class ModelUnavailable(Terminal):
    """The embedding model cannot be loaded, or the endpoint refuses the key."""


class ReadingUnknown(ModelUnavailable):
    """Nobody can tell how a model reads a text: its tokenizer, and how much it reads."""


class EmbeddingRejected(Terminal):
    """The embedder cannot embed these texts (too long, NaN or zero vector).

    Raised for a batch; the pipeline halves the batch until the poison row is alone. `positions` are
    the texts known to be at fault, counted from 0 within the call; empty when that is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        cure: str = "",
        lens: str | None = None,
        positions: Sequence[int] = (),
    ) -> None:
        super().__init__(message, cure=cure, lens=lens)
        self.positions = tuple(positions)


class DimensionChanged(Terminal):
    """The embedder's vectors do not fit the generation they should be written to."""


class FieldsChanged(Terminal):
    """The columns of the table have other types now; only a rebuild makes fields for them."""


class IndexDamaged(Terminal):
    """An index that was written cannot be read, or is gone; a rebuild makes it again."""


class StoreRefused(Terminal):
    """The vector store answered and said no: wrong key, no permission, version too old."""


class ObjectsRejected(Terminal):
    """The vector store cannot hold some objects of a write, for reasons of their own.

    Everything else of the write was written: `written` objects. `reasons` maps the keys of the
    rejected ones to why; they are set aside, and nothing has to be written again.
    """

    def __init__(self, reasons: Mapping[str, str], *, written: int) -> None:
        key, reason = next(iter(reasons.items()))
        super().__init__(f"{len(reasons)} objects cannot be stored; the first, {key}: {reason}.")
        self.reasons = dict(reasons)
        self.written = written


class TooManyFailures(Terminal):
    """So many rows failed at once that the fault is not theirs (invariant 8)."""


class Fenced(SemilayerError):
    """This run's lease was taken over; it must write nothing more."""


@contextmanager
def about(key: str) -> Iterator[None]:
    """Let a mistake that a block tells be one in this key of a lens: a push says where that is."""
    try:
        yield
    except (ConfigError, SchemaMismatch, ModelUnavailable, NotPermitted) as error:
        error.key = key
        raise
