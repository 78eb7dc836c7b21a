"""Changes that were looked at and not yet made: each has a token, good once and for a while."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from semilayer_pipelines.agents.arguments import Change
from semilayer_pipelines.errors import Refused

__all__ = ["Proposal", "Proposals"]

PROPOSAL_KEPT = timedelta(minutes=15)
"""How long a change that an agent has looked at may be made."""

MAX_PROPOSALS = 1_000
"""Changes that wait to be made; the oldest are forgotten."""


@dataclass(frozen=True)
class Proposal:
    """A change of an environment's lens, and until when it may be made."""

    env: str
    change: Change
    until: datetime


class Proposals:
    """The proposals of one server; safe to share between threads."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, Proposal] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, env: str, change: Change) -> tuple[str, Proposal]:
        """Keep a change; return its token and the proposal."""
        proposal = Proposal(env, change, self._clock() + PROPOSAL_KEPT)
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[token] = proposal
            while len(self._kept) > MAX_PROPOSALS:
                self._kept.popitem(last=False)
        return token, proposal

    def take(self, env: str, token: str) -> Change:
        """Return the change of a token, which is used up by that.

        Raises `Refused` for a token that is unknown, of another environment, used or too old.
        """
        with self._lock:
            found = self._kept.get(token)
            if found is None or found.env != env:
                raise Refused(
                    "This token is unknown, or was used before.",
                    cure="Call plan_change, and pass the token that it gives.",
                )
            del self._kept[token]
        if self._clock() > found.until:
            raise Refused(
                f"This token is older than {PROPOSAL_KEPT.seconds // 60} minutes.",
                cure="Call plan_change again: things may have changed since.",
            )
        return found.change
