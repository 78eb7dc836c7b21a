"""A process that syncs one lens when it is told to, by whatever build is on its path.

It reads a word a line, `full`, `whole` or `sync`, and answers with seconds and counts as JSON.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control import sync as control
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.project import Project, Settings

ENV = "bench"


def main(folder: Path) -> None:
    told = dict(os.environ) | {"SEMILAYER_ENV": ENV, "SEMILAYER_ROOT": str(folder)}
    project = Project(Settings.from_environ(told, folder), told)
    lens = {
        "source": "main",
        "table": "posts",
        "embedding": {"provider": "hash", "dimensions": 16},
        "fields": {
            "title": {"type": "text", "searchable": True},
            "body": {"type": "text"},
            "stars": {"type": "number"},
        },
    }
    sources = {"main": {"bridge": "sql", "connection": "${POSTS}"}}
    config = ProjectConfig.model_validate(
        {"stack": "bench", "sources": sources, "lenses": {"posts": lens}}
    )
    apply_push(project, plan_push(project, config, ENV))
    # A build from before there were proofs reads every row by itself.
    whole: dict[str, Any] = (
        {"full_walk": True} if "full_walk" in inspect.signature(control.sync).parameters else {}
    )
    for line in sys.stdin:
        began = time.perf_counter()
        outcome = control.sync(project, "posts", **(whole if line.strip() == "whole" else {}))
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds} | outcome.counts.as_dict()), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
