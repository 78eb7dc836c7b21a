"""A cache of one test's own, with the exported graphs of the whole session.

An export takes a second of processor and depends on the model's files alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import user_cache_path

GRAPHS = "graphs"


def use_own_cache(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make `folder` the cache of this machine's user; only the graphs are those of before."""
    before = user_cache_path("semilayer") / GRAPHS
    before.mkdir(parents=True, exist_ok=True)
    patch.setenv("XDG_CACHE_HOME", str(folder))
    own = user_cache_path("semilayer")
    own.mkdir(parents=True)
    (own / GRAPHS).symlink_to(before)
