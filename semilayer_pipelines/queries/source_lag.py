"""How far incremental ingest is behind its source, by asking the source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from semilayer_pipelines.bridges.cursors import Scalar, decode, shown
from semilayer_pipelines.bridges.times import is_time
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.incremental import HORIZON, surveyed
from semilayer_pipelines.ingest.open_lens import as_indexed, open_lens
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import cursors
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["SourceLag", "source_lag"]


@dataclass(frozen=True)
class SourceLag:
    """The latest value of the tracked column in the source, and the one incremental has come to.

    `seconds` lie between them where they are times. `untracked` rows have no value, so that only a
    smart sync brings them in. `error` says why the source was not asked.
    """

    column: str | None = None
    latest: str | None = None
    cursor: str | None = None
    seconds: float | None = None
    untracked: int = 0
    error: str | None = None


def source_lag(project: Project, lens: Lens) -> SourceLag | None:
    """Ask the source; `None` for a lens without a tracked column.

    A source that does not answer is an answer too: nothing is raised.
    """
    with project.registry.read() as db:
        at = cursors.get(db, lens.id)
    seen = None if at is None else at.position
    try:
        with open_lens(project, as_indexed(project, lens)) as parts:
            if not parts.tracked:
                return None
            horizon = parts.clock() + HORIZON
            _, latest = surveyed(parts, horizon)
            left = parts.bridge.untracked(parts.selection, parts.tracked, horizon)
            column = " or ".join(parts.tracked)
    except SemilayerError as error:
        return SourceLag(cursor=seen and shown(seen), error=redact(str(error)))
    return SourceLag(
        column=column,
        latest=latest and shown(latest),
        cursor=seen and shown(seen),
        seconds=_seconds(seen, latest),
        untracked=left.missing,
    )


def _seconds(seen: str | None, latest: str | None) -> float | None:
    if seen is None or latest is None:
        return None
    begin, end = _moment(decode(seen)[0]), _moment(decode(latest)[0])
    if begin is None or end is None:
        return None
    return max(0.0, (end - begin).total_seconds())


def _moment(value: Scalar) -> datetime | None:
    if not isinstance(value, str) or not is_time(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None  # a time that no calendar has
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
