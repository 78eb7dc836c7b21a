"""The work of a process that follows, to be killed."""

from __future__ import annotations

import threading
from pathlib import Path

from semilayer_pipelines.follow import follower
from semilayer_pipelines.follow.follower import Follower
from tests.follow.site import OFTEN, SILENCE
from tests.lab import ENV, Lab
from tests.processes import Ready


def work(ready: Ready, folder: Path) -> None:
    """Follow until killed."""
    for name, seconds in OFTEN.items():
        setattr(follower, name, seconds)
    lab = Lab.opened(folder, {})
    ready()
    Follower(lab.project, ENV, "main", threading.Event(), silence=SILENCE).run()
