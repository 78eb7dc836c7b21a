"""Which lenses have nothing for an incremental walk, by asking each source for its high water.

A schedule asks before it makes a job: a table that nobody writes to costs one look at its largest
tracked value. Nothing here may break a tick or hold it up: a source that does not answer at once is
taken for one that moved, and its job finds out what is wrong.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack

from semilayer_pipelines.bridges.protocol import Bridge
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.incremental import HORIZON, nothing_moved, survey
from semilayer_pipelines.mapping.columns import key_of, tracking_columns_of
from semilayer_pipelines.mapping.joined import lens_table
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import cursors, sources
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["unmoved"]

ANSWER_MS = 3_000
"""How long a source has for its largest value: with an index on the column it needs no time."""

TICK_SECONDS = 20.0
"""How long all the sources of a tick have together; the lenses that are left are walked."""

_log = logging.getLogger(__name__)


def unmoved(project: Project, known: Sequence[Lens]) -> set[int]:
    """Return the ids of those lenses in whose tables nothing moved since their last walk.

    `known` have the configuration that is in force. Nothing is raised for a source.
    """
    until = time.monotonic() + TICK_SECONDS
    bridges: dict[tuple[int, str], Bridge | None] = {}
    quiet: set[int] = set()
    with ExitStack() as opened:
        for lens in known:
            source = (lens.env_id, lens.config.source)
            if time.monotonic() > until:
                break
            try:
                if source not in bridges:
                    bridges[source] = _connect(project, lens, opened)
                bridge = bridges[source]
                if bridge is not None and _is_quiet(project, lens, bridge):
                    quiet.add(lens.id)
            except SemilayerError as error:
                bridges[source] = None  # asked once a tick, however many lenses it has
                _log.info("%s/%s: its source was not asked: %s", lens.env, lens.name, error)
    return quiet


def _connect(project: Project, lens: Lens, opened: ExitStack) -> Bridge:
    with project.registry.read() as db:
        source = sources.get(db, lens.env_id, lens.config.source)
    brief = source.model_copy(update={"timeout": min(source.timeout, ANSWER_MS)})
    bridge = project.bridge(lens.config.source, brief)
    opened.callback(bridge.close)
    return bridge


def _is_quiet(project: Project, lens: Lens, bridge: Bridge) -> bool:
    if lens.tracked == "":
        return False
    now = project.clock()
    with project.registry.read() as db:
        at = cursors.get(db, lens.id)
    if at is None or at.settled is None:
        return False
    found = lens_table(lens.config, bridge)
    selection = found.selection(key_of(lens.config, found.table), ())
    tracked = tracking_columns_of(lens.config, found.table)
    if not tracked:
        return False
    _, end = survey(bridge, selection, tracked, now + HORIZON)
    return end is not None and nothing_moved(at, end)
