from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.bridges.last_written import last_written
from semilayer_pipelines.config.models import SourceConfig

AT = datetime(2124, 5, 6, 7, 8, 9, tzinfo=UTC)


def written(connection: str, **environ: str) -> datetime | None:
    source = SourceConfig.model_validate({"bridge": "sql", "connection": connection})
    return last_written(source, name="main", environ=environ)


def touched(file: Path, at: datetime) -> None:
    file.touch()
    os.utime(file, (at.timestamp(), at.timestamp()))


def test_a_file_tells_by_its_own_time_or_a_later_one_of_its_log(tmp_path: Path) -> None:
    file = tmp_path / "source.db"
    touched(file, AT)
    assert written("sqlite:///${FILE}", FILE=str(file)) == AT

    touched(tmp_path / "source.db-wal", AT + timedelta(hours=1))
    assert written(f"sqlite:///{file}") == AT + timedelta(hours=1)


def test_a_file_that_was_restored_with_its_times_was_written_when_it_came(tmp_path: Path) -> None:
    file, before = tmp_path / "source.db", datetime.now(UTC) - timedelta(minutes=1)
    touched(file, datetime(2004, 5, 6, tzinfo=UTC))

    when = written(f"sqlite:///{file}")

    assert when is not None
    assert when > before


@pytest.mark.parametrize(
    "connection",
    [
        "sqlite:////nowhere/at/all.db",
        "sqlite:///${NOT_SET}",
        "postgresql://localhost/shop",
        "no connection",
    ],
)
def test_what_cannot_be_known_for_nothing_is_not_known(connection: str) -> None:
    assert written(connection) is None
