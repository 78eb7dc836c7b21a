"""How long a test waits for what is promised without a time: longer than any machine stalls."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["PATIENCE_SECONDS", "eventually"]

PATIENCE_SECONDS = 120.0
"""Only a broken promise takes longer; pytest's own timeout is beyond it."""


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail when it never does."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)
