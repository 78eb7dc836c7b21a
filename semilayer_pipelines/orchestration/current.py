"""The project that a code server serves, opened once.

Sensors and schedules tick in a process that lives for weeks; opening the registry at every tick
would leave a pool of connections behind each time.
"""

import os
from functools import lru_cache
from pathlib import Path

from semilayer_pipelines.project import Project, Settings

__all__ = ["current_project"]


def current_project() -> Project:
    """Return the project of this process's environment and working directory."""
    environ = dict(os.environ)
    return _opened(Settings.from_environ(environ, Path.cwd()), frozenset(environ.items()))


@lru_cache(maxsize=4)
def _opened(settings: Settings, environ: frozenset[tuple[str, str]]) -> Project:
    return Project(settings, dict(environ))
