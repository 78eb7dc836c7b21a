"""A follower as a process, to be killed: `python -m tests.follow.worker FOLDER`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from semilayer_pipelines.follow import follower
from semilayer_pipelines.follow.follower import Follower
from tests.follow.site import OFTEN, SILENCE
from tests.lab import ENV, Lab


def main(folder: Path) -> None:
    """Follow until killed."""
    for name, seconds in OFTEN.items():
        setattr(follower, name, seconds)
    lab = Lab.opened(folder, {})
    print("ready", flush=True)
    Follower(lab.project, ENV, "main", threading.Event(), silence=SILENCE).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
