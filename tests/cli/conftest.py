"""Project folders, one ready to be searched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry import jobs
from tests.cli.project import Folder

MakeFolder = Callable[..., Folder]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder whose lens `items` has 20 rows; nothing is pushed."""
    return Folder.at(tmp_path, rows=20)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder whose lens is indexed; tests only look at it."""
    folder = Folder.at(tmp_path_factory.mktemp("indexed"), rows=300)
    assert folder.run("push").exit_code == 0
    assert folder.run("resume").exit_code == 0
    run_queued(folder)
    return folder


def run_queued(folder: Folder) -> None:
    """Do here what Dagster would do with the queued jobs."""
    project = folder.project
    with project.registry.read() as db:
        due = jobs.due(db, project.clock())
    for job in due:
        run_job(project, job.id)
