"""An event loop whose clock a test moves on, so that nothing depends on how long a test takes."""

from __future__ import annotations

import asyncio
import threading

from tests.patience import PATIENCE_SECONDS

__all__ = ["MovableLoop"]


class MovableLoop(asyncio.SelectorEventLoop):
    """Counts seconds as any other loop, and those that it is told to skip."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped

    def go_on(self, seconds: float) -> None:
        """Let time go by, for another thread; what is due by then is begun when this returns."""

        def skip() -> None:
            self.skipped += seconds
            self.call_later(0, skipped.set)  # after all that was due before

        skipped = threading.Event()
        self.call_soon_threadsafe(skip)
        assert skipped.wait(PATIENCE_SECONDS)
