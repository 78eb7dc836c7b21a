from __future__ import annotations

import pytest

from semilayer_pipelines.registry import failed_rows
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.failed_rows import FailedRow
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, make_lens


def test_a_row_that_fails_again_counts_its_attempts(registry: Registry, lens: Lens) -> None:
    with registry.begin() as db:
        bad = {"1": ("mapping", "no number"), "2": ("mapping", "no number")}
        failed_rows.record(db, lens.id, bad, job_id="job-1", now=NOW)
        failed_rows.record(db, lens.id, {"2": ("embedding", "too long")}, job_id="job-2", now=at(9))

        assert failed_rows.count(db, lens.id) == 2
        assert failed_rows.keys(db, lens.id, 10) == ["2", "1"]
        assert failed_rows.list_all(db, lens.id, 10) == [
            FailedRow("2", "embedding", "too long", 2, NOW, at(9), "job-2"),
            FailedRow("1", "mapping", "no number", 1, NOW, NOW, "job-1"),
        ]
        assert failed_rows.list_all(db, lens.id, 1)[0].key == "2"


def test_rows_that_went_through_leave_the_list_of_their_lens(
    registry: Registry, lens: Lens
) -> None:
    other = make_lens(registry, "orders")
    bad = {key: ("mapping", "bad") for key in ("1", "2", "3")}

    with registry.begin() as db:
        for each in (lens, other):
            failed_rows.record(db, each.id, bad, job_id="job-1", now=NOW)
        cleared = failed_rows.clear(db, lens.id, ["1", "3", "never failed"])

        assert cleared == 2
        assert failed_rows.keys(db, lens.id, 10) == ["2"]
        assert failed_rows.count(db, other.id) == 3


def test_nothing_failed_is_nothing_noted(registry: Registry, lens: Lens) -> None:
    with registry.begin() as db:
        failed_rows.record(db, lens.id, {}, job_id="job-1", now=NOW)

        assert failed_rows.count(db, lens.id) == 0
        assert failed_rows.clear(db, lens.id, []) == 0


def test_of_too_many_the_latest_are_kept(
    registry: Registry, lens: Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_rows, "KEPT", 50)

    with registry.begin() as db:
        for turn in range(3):
            bad = {f"{turn}-{number:02}": ("mapping", "bad") for number in range(30)}
            failed_rows.record(db, lens.id, bad, job_id="job-1", now=at(turn))

        kept = failed_rows.keys(db, lens.id, 100)
    assert len(kept) == 50
    assert {key[0] for key in kept[:30]} == {"2"}
    assert {key[0] for key in kept[30:]} == {"1"}


def test_one_row_is_found_by_its_key(registry: Registry, lens: Lens) -> None:
    with registry.begin() as db:
        bad = {"1": ("mapping", "no number"), "2": ("mapping", "no number")}
        failed_rows.record(db, lens.id, bad, job_id="job-1", now=NOW)

        found = failed_rows.get(db, lens.id, "2")

        assert found is not None
        assert (found.key, found.attempts) == ("2", 1)
        assert failed_rows.get(db, lens.id, "3") is None
