"""Looking at an index with the intent to mend it: what only a mark lets a sync write is marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.closer_look import Telling
from semilayer_pipelines.queries.findings import Audit, Depth, Kind
from semilayer_pipelines.registry import marked_rows, store_watch
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.marked_rows import Fault

__all__ = ["verify_lens"]


def verify_lens(
    project: Project,
    lens: Lens,
    depth: Depth,
    *,
    heal: bool,
    compared: Callable[[int], None] = lambda _: None,
    searched: Callable[[int, int], None] = lambda _, __: None,
) -> Audit:
    """Compare an index with its source; with `heal`, mark what hashes do not tell of.

    The index is not written to. The next smart sync writes what is marked again. How many rows no
    search finds is noted for the metrics, when all were asked for. Raises what `audit` raises.
    """

    def mark(generation_id: int, fault: Fault, keys: Sequence[str]) -> None:
        with project.registry.begin() as db:
            marked_rows.mark(db, generation_id, fault, keys)

    quiet = Telling(compared, searched)
    telling = Telling(compared, searched, mark) if heal else quiet
    found = audit(project, lens, telling, depth=depth)
    whole = depth.search and depth.sample is None
    if found.generation_id is not None and whole:
        with project.registry.begin() as db:
            hidden = sum(found.found[kind].count for kind in (Kind.HIDDEN, Kind.UNREACHABLE))
            store_watch.note_hidden(db, found.generation_id, hidden)
    return found
