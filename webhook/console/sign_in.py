"""Who is signed in: from a cookie to the keys of a session, and from an `sk_` key to a cookie.

The cookie holds a random token, the registry its digest. The token against forged forms is made of
the same token, so that there is nothing else to keep. A key's text is looked at once, to sign in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from semilayer_pipelines.errors import Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import api_keys, sessions
from semilayer_pipelines.registry.api_key import KeyKind, parse_key
from semilayer_pipelines.registry.api_keys import ApiKey

__all__ = ["COOKIE", "Attempts", "Visit", "forgery_token", "sign_in", "sign_out", "visit_of"]

COOKIE = "semilayer_console"
PATH = "/console"

ATTEMPTS = 10
"""Keys that one address may try in a minute to sign in to the console."""

_WINDOW_S = 60.0
_ADDRESSES = 1_000
_NO_KEY = "That is no service key: it is misspelt, cut off, made up or revoked."
_NO_KEY_CURE = "A service key begins with sk_. Whoever runs the service can make one."


@dataclass(frozen=True)
class Visit:
    """A person who is signed in: the session's token, and its keys by environment."""

    token: str
    keys: dict[str, ApiKey]

    @property
    def forgery_token(self) -> str:
        """What every form of this person has to carry."""
        return forgery_token(self.token)


class Attempts:
    """Counts what each address tried in the last minute; for one event loop."""

    def __init__(self) -> None:
        self._tried: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, address: str) -> None:
        """Count an attempt; raise `Refused` when there were too many."""
        now = time.monotonic()
        tried = self._tried.setdefault(address, deque(maxlen=ATTEMPTS))
        self._tried.move_to_end(address)
        while len(self._tried) > _ADDRESSES:
            self._tried.popitem(last=False)
        if len(tried) == ATTEMPTS and now - tried[0] < _WINDOW_S:
            raise Refused(
                f"{ATTEMPTS} keys were tried within a minute.",
                cure=f"Try again in {max(1, round(_WINDOW_S - (now - tried[0])))} s.",
            )
        tried.append(now)


def forgery_token(token: str) -> str:
    """Return the token against forged forms that belongs to a session's token."""
    return hashlib.sha256(f"form:{token}".encode()).hexdigest()


def is_forged(visit: Visit, given: str) -> bool:
    """Say whether a form was not made for this session."""
    return not hmac.compare_digest(visit.forgery_token.encode(), given.encode())


def visit_of(project: Project, request: Request) -> Visit | None:
    """Return who is signed in; `None` for nobody, and when none of the keys is in force."""
    token = request.cookies.get(COOKIE, "")
    if not token:
        return None
    registry, now = project.registry, project.clock()
    with registry.read() as db:
        keys = sessions.keys(db, _digest(token), now)
    stale = [key for key in keys if api_keys.is_stale(key, now)]
    if stale:
        with registry.begin() as db:
            api_keys.touch(db, stale, now)
    return Visit(token, {key.env: key for key in keys}) if keys else None


def sign_in(project: Project, text: str, before: Visit | None) -> tuple[str, ApiKey]:
    """Begin a session with a key, or add the key to the session there is; return token and key.

    The token is always a new one. Raises `Refused` for what is no service key in force.
    """
    key = parse_key(text.strip())
    if key is None:
        raise Refused(_NO_KEY, cure=_NO_KEY_CURE)
    if key.kind is not KeyKind.SERVICE:
        only = "trigger ingest" if key.kind is KeyKind.INGEST else "search"
        raise Refused(
            f"This key can only {only}, and the console does more than that.", cure=_NO_KEY_CURE
        )
    with project.registry.begin(durable=True) as db:
        known = api_keys.check(db, [key]).get(key.digest)
        if known is None:
            raise Refused(_NO_KEY, cure=_NO_KEY_CURE)
        token, now = secrets.token_urlsafe(32), project.clock()
        if before is not None:
            sessions.move(db, _digest(before.token), _digest(token))
        sessions.add(db, _digest(token), known, now)
        api_keys.touch(db, [known], now)
    return token, known


def add_key(project: Project, visit: Visit, key: ApiKey) -> None:
    """Let a session use a key that was made in it."""
    with project.registry.begin(durable=True) as db:
        sessions.add(db, _digest(visit.token), key, project.clock())


def sign_out(project: Project, visit: Visit) -> None:
    """End a session."""
    with project.registry.begin(durable=True) as db:
        sessions.end(db, _digest(visit.token))


def set_cookie(response: Response, request: Request, token: str) -> None:
    """Give a browser the token of its session; it forgets it when it is closed."""
    response.set_cookie(
        COOKIE,
        token,
        path=PATH,
        secure=_is_encrypted(request),
        httponly=True,
        samesite="strict",
    )


def _is_encrypted(request: Request) -> bool:
    # A proxy that ends TLS says so; whoever lies here only keeps the cookie from himself.
    forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
    return "https" in (request.url.scheme, forwarded)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
