"""How a lens stands, for a person's own program."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.control.sync import sync
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.queries.state import read_lens
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab


def test_a_lens_is_read_as_it_stands_before_and_after_a_sync(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=20)

    before = read_lens(lab.project, "items")
    done = sync(lab.project, "items")
    after = read_lens(lab.project, "items", env=ENV)

    assert (before.lens.status, before.active, before.last) == (LensStatus.PAUSED, None, None)
    assert after.lens.status is LensStatus.READY
    assert after.active == done.generation
    assert after.last is not None
    assert after.last.id == done.job_id
    assert after.lag_seconds == 0


def test_a_lens_of_another_environment_is_not_found(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=3)

    with pytest.raises(NotFound):
        read_lens(lab.project, "items", env="production")
