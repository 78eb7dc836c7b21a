"""Lance's errors as ours.

Lance raises a few built-in types and tells in the text what happened. This module alone reads those
texts. An unknown error of a write stays as it is, so that a bug never looks like bad luck. An
unknown error of a read means a damaged index, because our reads are valid by construction.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from semilayer_pipelines.errors import IndexDamaged, SemilayerError, StoreFull, StoreUnavailable

__all__ = ["REBUILD", "is_conflict", "store_errors"]

REBUILD = "Rebuild the lens: `semilayer verify --heal` queues that."

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_PANIC = "RustPanic"  # a class that no module exports
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_CONFLICT = re.compile(r"conflict", re.IGNORECASE)
_LANCE = re.compile(r"(?:lance error|External error): (?P<what>.*)", re.DOTALL)
_PLACE = re.compile(r", /\S+\.rs:\d+(:\d+)?")  # in Lance's code, as often as it was passed on
_DAMAGE = re.compile(
    r"Not found|fill whole buffer|is a directory|size is too small|Invalid range|corrupt"
    r"|not appear to be a Lance file|Protobuf|unsupported index version|panicked|unexpected EOF",
    re.IGNORECASE,
)


@contextmanager
def store_errors(doing: str, *, reading: bool = False) -> Iterator[None]:
    """Turn what goes wrong inside into `StoreFull`, `StoreUnavailable` or `IndexDamaged`.

    `doing` is the message's subject. `StoreFull` covers no room, over quota, read-only and not
    permitted. With `reading`, whatever cannot pass by itself is `IndexDamaged`.
    """
    try:
        yield
    except SemilayerError:
        raise
    except OSError as error:
        raise _error(doing, error.errno, str(error), reading=reading) from error
    except Exception as error:
        if not isinstance(error, RuntimeError | ValueError) and type(error).__name__ != _PANIC:
            raise
        text = _PLACE.sub("", str(error))
        said = _LANCE.search(text)
        if not reading and not _DAMAGE.search(text) and (said is None or type(error) is ValueError):
            raise
        what = said["what"] if said else text
        number = _OS_ERROR.search(what)
        raise _error(doing, int(number[1]) if number else None, what, reading=reading) from error


def is_conflict(error: BaseException) -> bool:
    """Say whether a write lost a race for the next version, so that nothing of it was kept."""
    return isinstance(error, RuntimeError | OSError) and bool(_CONFLICT.search(str(error)))


def _error(doing: str, number: int | None, text: str, *, reading: bool) -> SemilayerError:
    if number in _NO_ROOM:
        return StoreFull(
            f"{doing}: there is no room left ({text}).",
            cure="Free disk space or raise the quota, then run it again.",
        )
    if number in _NOT_ALLOWED and not reading:
        return StoreFull(
            f"{doing}: the store's directory cannot be written ({text}).",
            cure="Make it writable for this user, or set another store directory.",
        )
    if number in _NOT_ALLOWED:
        return IndexDamaged(
            f"{doing}: this user may not read the index's files ({text}).",
            cure=f"Make them readable for this user. Or: {REBUILD}",
        )
    if number not in _PASSING and not _CONFLICT.search(text) and (reading or _DAMAGE.search(text)):
        return IndexDamaged(f"{doing}: the index is damaged ({text}).", cure=REBUILD)
    return StoreUnavailable(f"{doing}: {text}.", cure="Try again; if it stays, rebuild the lens.")
