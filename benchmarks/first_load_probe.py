"""The process whose time is measured: the engine's job, or the floor, in the folder it is given."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    folder, job = Path(sys.argv[1]), sys.argv[2:]
    # Imported late: a side pays for its own imports only.
    if not job:
        from benchmarks.floor import Floor

        Floor(folder / "source.db", folder / "lance").full()
        return
    from semilayer_pipelines.quick_imports import without_collector

    with without_collector():  # as a run does it
        from semilayer_pipelines.ingest.run_job import run_job
        from semilayer_pipelines.project import Project, Settings

    environ = {"SEMILAYER_ENV": job[1]}
    run_job(Project(Settings.from_environ(environ, folder), environ), job[0])


if __name__ == "__main__":
    main()
