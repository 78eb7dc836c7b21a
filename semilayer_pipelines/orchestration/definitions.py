"""The module that a code server loads: the definitions of the project that it was started in.

A code server loads it again after a push. It comes up in a folder without lenses as well, so that
the UI is there to show the first one.
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

# Runs load this module too: an index and the logs beside it are for their owner alone.
os.umask(OWNER_ONLY)
redact_logs()
tell_failures_briefly()
read_project_env()
defs = build_definitions(
    Project.from_environ(os.environ, Path.cwd()), executor=dg.in_process_executor
)
