"""Lance's errors as ours.

Lance raises a handful of built-in types and says in the text what happened; this is the one place
that reads those texts. What it does not know stays as it is: a bug must not look like bad weather.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from semilayer_pipelines.errors import SemilayerError, StoreFull, StoreUnavailable

__all__ = ["is_conflict", "store_errors"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_CONFLICT = re.compile(r"conflict", re.IGNORECASE)
_LANCE = re.compile(r"lance error: (?P<what>.*?)(, /\S+\.rs:\d+(:\d+)?)?$", re.DOTALL)


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn what goes wrong inside into `StoreFull` or `StoreUnavailable`; `doing` is the subject.

    `StoreFull` covers no room, over quota, read-only and not permitted.
    """
    try:
        yield
    except SemilayerError:
        raise
    except OSError as error:
        raise _error(doing, error.errno, str(error)) from error
    except RuntimeError as error:
        said = _LANCE.search(str(error))
        if said is None:
            raise
        number = _OS_ERROR.search(said["what"])
        raise _error(doing, int(number[1]) if number else None, said["what"]) from error


def is_conflict(error: BaseException) -> bool:
    """Say whether a write lost a race for the next version, so that nothing of it was kept."""
    return isinstance(error, RuntimeError | OSError) and bool(_CONFLICT.search(str(error)))


def _error(doing: str, number: int | None, text: str) -> SemilayerError:
    if number in _NO_ROOM:
        return StoreFull(
            f"{doing}: there is no room left ({text}).",
            cure="Free disk space or raise the quota, then run it again.",
        )
    if number in _NOT_ALLOWED:
        return StoreFull(
            f"{doing}: the store's directory cannot be written ({text}).",
            cure="Make it writable for this user, or set another store directory.",
        )
    return StoreUnavailable(f"{doing}: {text}.", cure="Try again; if it stays, rebuild the lens.")
