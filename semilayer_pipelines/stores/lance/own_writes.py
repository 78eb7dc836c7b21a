"""Whether all that became of a table since some moment was written by one object alone.

Lance makes each version on the one before and numbers them without a gap. Every write of ours makes
one. So whoever saw the newest version, and then only versions of its own behind it, knows what the
table holds. Somebody without our lock is found out as well, as a number is missing then.

It costs two looks at the table's files for each lock, and nothing before `looked`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from semilayer_pipelines.stores.lance.content import content_token

__all__ = ["OwnWrites"]


class OwnWrites:
    """The contents that the table in `folder` had, one made of the other by one object's writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokens: list[str] = []
        self._version = 0
        self._alone = True

    def looked(self, token: str | None) -> None:
        """Take note of what the table held when it was looked at (`content_token`)."""
        if token is None:
            self._tokens = []
        elif token not in self._tokens[-1:]:
            self._tokens = [token]

    def since(self, token: str) -> str | None:
        """Return the token of now, if it was `token` and nobody else has written since.

        Raises `OSError`.
        """
        now = content_token(self._folder)
        mine = token in self._tokens and now in self._tokens[-1:]
        return now if mine else None

    @contextmanager
    def locked(self, table: Any) -> Iterator[None]:
        """Watch what is done under the write lock; a block that raises may have done anything."""
        if not self._tokens:
            yield
            return
        tokens, self._tokens = self._tokens, []
        # Asked before the token, and behind it at the end: so nobody came in between.
        self._version = first = int(table.version)
        self._alone = self._now() == tokens[-1]
        yield
        now = self._now()
        if self._alone and now is not None and int(table.version) == self._version:
            self._tokens = [*tokens, now] if self._version > first else tokens

    def _now(self) -> str | None:
        try:
            return content_token(self._folder)
        except OSError:
            return None

    def wrote(self, version: int) -> None:
        """Take note of the version that a write of ours has made."""
        self._alone &= version == self._version + 1
        self._version = version
