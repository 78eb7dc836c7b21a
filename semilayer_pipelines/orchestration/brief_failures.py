"""Expected failures in a run's log: what failed and what to do, without Dagster's stack.

Such a failure is raised as `dagster.Failure`, whose stack shows Dagster's own files and tells a
reader nothing. Any other exception keeps its stack.
"""

import logging

__all__ = ["tell_failures_briefly"]

_FAILURE = "dagster._core.definitions.events.Failure: "
_STACK = "\n\nStack Trace:\n"


def tell_failures_briefly() -> None:
    """Let this process's log records show no stack behind a `dagster.Failure`."""
    before = logging.getLogRecordFactory()
    if getattr(before, "brief", False):
        return

    def record(*args: object, **kwargs: object) -> logging.LogRecord:
        made = before(*args, **kwargs)
        if isinstance(made.msg, str) and _FAILURE in made.msg:
            head = made.msg.partition(_STACK)[0]
            # Behind the stack of something else, a failure is only what led to it.
            if _FAILURE in head:
                made.msg = head.replace(_FAILURE, "")
        return made

    record.brief = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)
