"""A process that runs every due job until it is told to stop, as Dagster's runs would.

`python -m tests.webhook.runner FOLDER`; it ends when FOLDER/stop is there and no job waits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry.jobs import queries
from tests.lab import Lab

STOP = "stop"


def main(folder: Path) -> None:
    """Run due jobs, whichever lens they are of."""
    project = Lab.opened(folder, {}).project
    while True:
        stopping = (folder / STOP).exists()
        with project.registry.read() as db:
            due = queries.due(db, project.clock())
            waiting = queries.queue_counts(db, project.settings.env, project.clock())
        for job in due:
            run_job(project, job.id)
        if stopping and not waiting.pending:
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
