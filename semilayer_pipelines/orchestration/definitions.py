"""The module that a code server loads: the definitions of the project that it was started in.

A code server loads it again after a push. It comes up in a folder without lenses as well, so that
the UI is there to show the first one.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.project import Project

__all__ = ["defs"]

defs = build_definitions(
    Project.from_environ(os.environ, Path.cwd()), executor=dg.in_process_executor
)
