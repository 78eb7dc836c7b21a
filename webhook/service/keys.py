"""Who calls: from the `Authorization` header to a key of the registry.

No key's text leaves `presented`. A key is looked up for every call. An ingest call may skip that
for a known key, because its transaction looks the key up again.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection

from starlette.requests import Request

from semilayer_pipelines.control.accept import KeyRefused
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import PUBLIC_PREFIX, KeyKind, PresentedKey, parse_key
from webhook.service.problems import Code, Problem, registry_away

__all__ = ["Keys", "presented"]

logger = logging.getLogger(__name__)

_KEPT = 1_000
_MAY_ONLY = {
    KeyKind.INGEST: "An ik_ key can only trigger ingest.",
    KeyKind.SEARCH: "A qk_ key can only search: /v1/search and /v1/similar.",
}
_INSTEAD = {
    KeyKind.INGEST: (
        "Use an ik_ or sk_ key: `semilayer keys create --type ingest --name my-worker`."
    ),
    KeyKind.SERVICE: "Use an sk_ key: `semilayer keys create --type service --name my-app`.",
}
TOLD_EVERY_S = 30.0
"""The log is told this often that keys cannot be looked up."""


def presented(request: Request) -> PresentedKey:
    """Return the key of a request; raises `KeyRefused` when there is none or it is malformed.

    The registry is not asked: a made-up key fails by its checksum.
    """
    header = request.headers.get("authorization")
    if header is None:
        raise KeyRefused("There is no key.")
    scheme, _, text = header.partition(" ")
    if text.strip().startswith(PUBLIC_PREFIX):
        raise Problem(
            Code.FORBIDDEN,
            "A pk_ key is a public one, for browsers, and none is taken here.",
            "Let your server call: with a qk_ key to search "
            "(`semilayer keys create --type search --name my-app`), with an ik_ key to tell of "
            "changes (`--type ingest`).",
        )
    key = parse_key(text.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise KeyRefused("That is no key: it is misspelt, cut off or made up.")
    return key


class Keys:
    """Looks keys up, and remembers the digests of those that it found."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._found: OrderedDict[str, None] = OrderedDict()
        self._told = -TOLD_EVERY_S

    async def caller(
        self,
        request: Request,
        kinds: Collection[KeyKind],
        *,
        checked_again: bool,
        in_thread: Callable[[Callable[[], None]], Awaitable[None]],
    ) -> PresentedKey:
        """Return whose call it is. Raises `KeyRefused`, and `Problem` for a kind that may not.

        `checked_again`: a transaction will look the key up, so that a key which was found once need
        not be looked up here.
        """
        key = presented(request)
        if not (checked_again and key.digest in self._found):
            await in_thread(lambda: self._looked_up(key))
            self._found[key.digest] = None
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        if key.kind not in kinds:
            other = KeyKind.INGEST if KeyKind.INGEST in kinds else KeyKind.SERVICE
            raise Problem(Code.FORBIDDEN, _MAY_ONLY[key.kind], _INSTEAD[other])
        return key

    def forget(self, key: PresentedKey) -> None:
        """Look this key up again next time."""
        self._found.pop(key.digest, None)

    def _looked_up(self, key: PresentedKey) -> None:
        """Look a key up; whoever has not shown a true one is told nothing of what went wrong."""
        try:
            self._look_up(key)
        except KeyRefused:
            raise
        except SemilayerError as error:
            self._tell(error)
            raise registry_away() from None

    def _tell(self, error: SemilayerError) -> None:
        # Callers come by the thousand while the registry is away.
        now = time.monotonic()
        if now - self._told >= TOLD_EVERY_S:
            self._told = now
            logger.warning("keys cannot be looked up: %s", error)

    def _look_up(self, key: PresentedKey) -> None:
        if api_keys.recognise(self._project.registry, key, self._project.clock) is None:
            raise KeyRefused("The key is unknown or was revoked.")
