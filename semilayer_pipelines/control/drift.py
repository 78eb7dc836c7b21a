"""Drift: what was changed elsewhere since the last push of a file, and a push would undo.

A change that the file has taken over (`semilayer export config`) is none. The page is docs/push.md,
under "Drift".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from semilayer_pipelines.config.edits import Edit, edits, value_at
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.registry.lenses import Lens, config_hash
from semilayer_pipelines.registry.stored_config import with_defaults

__all__ = ["Drift", "drift_of"]


@dataclass(frozen=True)
class Drift:
    """One lens that was changed elsewhere: by what, when, and what a push would undo."""

    lens: str
    origin: str
    at: datetime
    edits: tuple[Edit, ...]


def drift_of(lens: Lens, pushed: LensConfig | None, wanted: LensConfig | None) -> Drift | None:
    """Return the drift of a registered lens, `None` when a push would undo nothing.

    `pushed` is what the last push said (`None`: it was never pushed), `wanted` what the file says
    now (`None`: the lens is to be removed).
    """
    if pushed is None or config_hash(pushed) == lens.config_hash:
        return None
    changed = edits(with_defaults(pushed), with_defaults(lens.config))
    if wanted is not None:
        file = with_defaults(wanted)
        changed = [edit for edit in changed if value_at(file, edit.path) != edit.after]
    return Drift(lens.name, lens.origin, lens.pushed_at, tuple(changed)) if changed else None
