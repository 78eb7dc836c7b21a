"""The module that a code server loads: the definitions of the project that it was started in.

A code server loads it again after a push. It comes up in a Dagster folder without lenses as well,
so that the UI is there to show the first one. A person's own definitions in the folder `defs`, as
`dg scaffold` puts them there, stand beside the lenses.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from semilayer_pipelines.orchestration.brief_failures import tell_failures_briefly
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.private_files import OWNER_ONLY
from semilayer_pipelines.project import Project, read_project_env
from semilayer_pipelines.redaction import redact_logs

__all__ = ["defs"]


def _anything_in(folder: Path) -> bool:
    """Say whether there is what Dagster loads; it fails on a folder without."""
    return any(file.suffix == ".py" or file.name == "defs.yaml" for file in folder.rglob("*"))


def _definitions() -> dg.Definitions:
    here = Path.cwd()
    read_project_env()
    if (here / "dagster.yaml").is_file():
        project = Project.from_environ(os.environ, here)
    else:
        # Anywhere else an empty project would only hide that the folder is the wrong one.
        project = Project.here()
    lenses = build_definitions(project, executor=dg.in_process_executor)
    root = project.settings.root
    if not (root / "dg.toml").is_file() or not _anything_in(root / "defs"):
        return lenses
    return dg.Definitions.merge(lenses, dg.load_from_defs_folder(path_within_project=root))


# Runs load this module too: an index and the logs beside it are for their owner alone.
os.umask(OWNER_ONLY)
redact_logs()
tell_failures_briefly()
defs = _definitions()
