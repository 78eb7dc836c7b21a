"""What becomes of a lens whose job failed: is it tried again, and does it take a person?

A lens never stops for good by itself. Only a configuration that cannot work waits for somebody to
correct it. Everything else may be mended where we cannot see it: a server comes back, a grant is
renewed, a table that is swapped is there again.
"""

from __future__ import annotations

import errno
from datetime import timedelta
from enum import StrEnum

from semilayer_pipelines.errors import (
    ConfigError,
    DimensionChanged,
    EmptySource,
    FieldsChanged,
    GuardStopped,
    IndexDamaged,
    Refused,
    SemilayerError,
    StoreUnavailable,
    Terminal,
    Transient,
)
from semilayer_pipelines.redaction import redact

__all__ = ["MOMENT", "Outlook", "outlook_of", "unexpected"]

MOMENT = timedelta(hours=1)
"""An answer that stays the same for this long is no moment's state: a person should look."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class Outlook(StrEnum):
    """What a failure says about the next try."""

    HICCUP = "hiccup"  # nobody answered; asked again within seconds
    MAY_PASS = "may pass"  # an answer that may be another one in a while
    PERSON = "person"  # a person should decide, and a fresh look may pass all the same
    STOPPED = "stopped"  # tried again only when a person says so
    REFUSED = "refused"  # the request cannot be done; the lens has nothing to do with it


def outlook_of(error: SemilayerError) -> Outlook:
    """Return what an error that ended a run says about the next one."""
    match error:
        case Transient():
            return Outlook.HICCUP
        case EmptySource():
            return Outlook.MAY_PASS
        case GuardStopped() | DimensionChanged() | FieldsChanged() | IndexDamaged():
            return Outlook.PERSON
        case ConfigError():
            return Outlook.STOPPED
        case Refused():
            return Outlook.REFUSED
        case _:
            return Outlook.MAY_PASS


def unexpected(error: Exception) -> SemilayerError:
    """Return an error that is none of ours as one: a lack of room, or a fault of ours."""
    told = f"{type(error).__name__}: {redact(str(error))}"
    lacking = isinstance(error, MemoryError)
    if lacking or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return StoreUnavailable(
            f"This machine has no room: {told}",
            cure="Free memory or disk space; it is tried again.",
        )
    return Terminal(
        told, cure="This is a fault in semilayer-pipelines; the run's log has the whole story."
    )
