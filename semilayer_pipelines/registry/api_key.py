"""What a key looks like: `ik_<envSlug>_<random><checksum>`, or with `qk_` or `sk_` in front.

The random part begins with the key's id, by which it is looked up and listed; the rest of it is
secret. The checksum lets a typing error or a made-up key be refused without asking anybody. A
key's text must never be kept, logged or put into a message: its SHA-256 is what is stored.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["PUBLIC_PREFIX", "KeyKind", "PresentedKey", "hide_keys", "new_key", "parse_key", "shown"]

PUBLIC_PREFIX = "pk_"
"""Begins a key for browsers, of which none is issued here."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 10
_SECRET_LENGTH = 30  # 62 ** 30 is over 2 ** 178
_CHECKSUM_LENGTH = 6  # 62 ** 6 is over 2 ** 32
_FORM = re.compile(
    r"(?P<prefix>ik|sk|qk)_(?P<env>[a-z][a-z0-9-]{0,30})_"
    rf"(?P<id>[0-9A-Za-z]{{{_ID_LENGTH}}})[0-9A-Za-z]{{{_SECRET_LENGTH}}}"
    rf"(?P<checksum>[0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})",
    re.ASCII,
)


_INSIDE = re.compile(
    rf"((?:ik|sk|qk|pk)_[a-z0-9-]+_)[0-9A-Za-z]{{{_ID_LENGTH + _SECRET_LENGTH},}}", re.ASCII
)


class KeyKind(StrEnum):
    """What a key may do: only trigger ingest, only search, or everything in its environment."""

    INGEST = "ingest"
    SEARCH = "search"
    SERVICE = "service"


_PREFIXES = {KeyKind.INGEST: "ik", KeyKind.SEARCH: "qk", KeyKind.SERVICE: "sk"}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}


@dataclass(frozen=True)
class PresentedKey:
    """A well-formed key, which may still be unknown: what is needed to look it up and compare it.

    `digest` is the SHA-256 of the whole text, in hex.
    """

    id: str
    kind: KeyKind
    env: str
    digest: str = field(repr=False)


def new_key(kind: KeyKind, env: str, choose: Callable[[str], str]) -> str:
    """Return a key's text; `choose` picks one character of its argument, unpredictably."""
    length = _ID_LENGTH + _SECRET_LENGTH
    body = f"{_PREFIXES[kind]}_{env}_" + "".join(choose(_DIGITS) for _ in range(length))
    return body + _checksum(body)


def parse_key(text: str) -> PresentedKey | None:
    """Take a key's text apart; `None` when it is no key or its checksum is wrong."""
    found = _FORM.fullmatch(text)
    if found is None or _checksum(text[:-_CHECKSUM_LENGTH]) != found["checksum"]:
        return None
    digest = hashlib.sha256(text.encode()).hexdigest()
    return PresentedKey(found["id"], _KINDS[found["prefix"]], found["env"], digest)


def shown(kind: KeyKind, env: str, id: str) -> str:
    """Return what a key is called where it may be seen: `ik_production_4fK2x9QbZe…`."""
    return f"{_PREFIXES[kind]}_{env}_{id}…"


def hide_keys(text: str) -> str:
    """Return `text` with whatever looks like a key in it cut down to its kind and environment."""
    return _INSIDE.sub(r"\1…", text)


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
