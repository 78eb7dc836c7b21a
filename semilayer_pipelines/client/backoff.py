"""When the same request is sent again, and when no more.

Numbers in, numbers out; it never sleeps and has no clock of its own. The rest of the package leaves
this to a library (tenacity); the client needs httpx and the standard library alone.
"""

from __future__ import annotations

__all__ = ["FIRST_WAIT_S", "MAX_WAIT_S", "next_wait"]

FIRST_WAIT_S = 0.25
MAX_WAIT_S = 30.0


def next_wait(failures: int, asked: float | None, left: float, spread: float) -> float | None:
    """Return the seconds to wait after `failures` (1 or more) failed attempts; `None`: give up.

    `asked` is what the service wants to be left alone for, and is kept to the full; otherwise the
    wait doubles with each failure. `left` is the patience that is left, in seconds. `spread` is a
    random number in [0, 1) that keeps callers apart who failed together.
    """
    if asked is not None:
        wait = asked + spread * FIRST_WAIT_S
    else:
        # 2 ** 64 is beyond every limit, and a float can still hold it.
        wait = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 64)) * (0.5 + spread / 2)
    return wait if wait <= left else None
